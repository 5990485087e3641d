"""Runs the ONNX checker with strict shape inference on exported bundles.

    pip install -r tests/requirements.txt
    python tests/check_onnx.py BUNDLE...

`make check-onnx` calls it with a small r3d18-hara in single and half precision.
"""

import json
import pathlib
import sys

import onnx


def check(bundle: pathlib.Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    for graph in manifest["graphs"]:
        path = bundle / graph["file"]
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        # Inference must agree with every shape in the file, and leave none unknown.
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        shapes = {v.name for v in [*inferred.graph.value_info, *inferred.graph.output]}
        missing = [o for node in model.graph.node for o in node.output if o not in shapes]
        assert not missing, f"{path}: no shape for {missing}"
        print(f"{path}: {len(model.graph.node)} nodes, opset {model.opset_import[0].version}: correct")


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    for argument in sys.argv[1:]:
        check(pathlib.Path(argument))
