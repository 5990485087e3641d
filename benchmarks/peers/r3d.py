"""The paper's 3D-ResNet (r3dN-hara) in PyTorch, with the names of its parameters in a run folder."""

from torch import nn
from torch.nn import functional

BLOCKS = {"r3d10-hara": [1, 1, 1, 1], "r3d18-hara": [2, 2, 2, 2]}


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv3d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(outputs)
        self.conv2 = nn.Conv3d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(outputs)
        self.stride, self.more = stride, outputs - inputs

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride > 1:
            x = x[:, :, ::self.stride, ::self.stride, ::self.stride]
        if self.more:
            x = functional.pad(x, (0, 0, 0, 0, 0, 0, 0, self.more))
        return functional.relu(y + x)


class Net(nn.Module):
    def __init__(self, arch, width, classes):
        super().__init__()
        channels = [round(64 * 2 ** stage * width) for stage in range(4)]
        self.conv1 = nn.Conv3d(3, channels[0], 7, (1, 2, 2), 3, bias=False)
        self.bn1 = nn.BatchNorm3d(channels[0])
        inputs = channels[0]
        for stage, (outputs, count) in enumerate(zip(channels, BLOCKS[arch])):
            blocks = []
            for block in range(count):
                blocks.append(Block(inputs, outputs, 2 if stage and not block else 1))
                inputs = outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = functional.max_pool3d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        features = self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3, 4))
        return self.fc(features), features
