//! A bundle on disk: the folder that `export` writes.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};
use unscene_models::manifest::{Dim, MANIFEST_FILE, Manifest, Task};
use unscene_vision::ClassWeights;

use crate::error::{EngineError, Result};

/// A bundle whose manifest is valid and whose files are those that it describes.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The folder.
    pub dir: PathBuf,
    /// Its description.
    pub manifest: Manifest,
}

impl Bundle {
    /// Reads the manifest and checks every file's SHA-256.
    ///
    /// # Errors
    /// When a file is missing, the manifest is invalid, or a checksum differs.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        Self::described(dir, &Self::read_manifest(dir)?)
    }

    /// The text of a folder's manifest, whatever it says. It has the hash of every file, so that a bundle with the same one is
    /// the same.
    ///
    /// # Errors
    /// When there is none.
    pub fn read_manifest(dir: &Path) -> Result<String> {
        let path = dir.join(MANIFEST_FILE);
        if !path.exists() && dir.join("config.json").is_file() {
            return Err(EngineError::RunFolder { dir: dir.to_path_buf() });
        }
        fs::read_to_string(&path).map_err(|source| EngineError::Read { path, source })
    }

    /// As [`Bundle::open`], with the text of its manifest.
    ///
    /// # Errors
    /// As there.
    pub fn described(dir: &Path, text: &str) -> Result<Self> {
        let (dir, path) = (dir.to_path_buf(), dir.join(MANIFEST_FILE));
        let manifest = Manifest::from_json(text).map_err(|source| EngineError::Manifest { path, source })?;
        let graphs = manifest.graphs.iter().map(|graph| (&graph.file, &graph.sha256));
        for (file, expected) in graphs.chain(manifest.classifier.iter().map(|info| (&info.file, &info.sha256))) {
            let path = dir.join(file);
            let found = sha256_of(&path).map_err(|source| EngineError::Read { path: path.clone(), source })?;
            if !found.eq_ignore_ascii_case(expected) {
                return Err(EngineError::Checksum { path, found, expected: expected.clone() });
            }
        }
        Ok(Self { dir, manifest })
    }

    /// The folder's name, by which a service calls the model.
    pub fn name(&self) -> String {
        Self::name_of(&self.dir)
    }

    /// The name of the bundle in a folder, whether or not there is one.
    pub fn name_of(dir: &Path) -> String {
        // A path such as `.` has no last part until it is resolved. A link has a name of its own.
        let resolved = || dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
        let full = if dir.file_name().is_some() { dir.to_path_buf() } else { resolved() };
        full.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned())
    }

    /// What turns the output `maps` into class activation maps, and the index of that output; nothing where the bundle was
    /// exported without.
    ///
    /// # Errors
    /// When the classifier's file is not what the manifest says.
    pub fn class_weights(&self) -> Result<Option<(usize, ClassWeights)>> {
        let outputs = &self.manifest.graphs[0].outputs;
        let maps = outputs.iter().position(|output| output.name == "maps");
        let (Some(output), Some(classifier)) = (maps, &self.manifest.classifier) else { return Ok(None) };
        let path = self.dir.join(&classifier.file);
        let wrong =
            |reason: String| EngineError::Load { engine: "class activation maps".into(), path: path.clone(), reason };
        let sides: Vec<usize> = outputs[output]
            .shape
            .iter()
            .filter_map(|side| if let Dim::Fixed(side) = side { Some(*side) } else { None })
            .collect();
        let sides: [usize; 4] = sides
            .try_into()
            .map_err(|sides| wrong(format!("maps are {sides:?}, expected channels, frames, height and width")))?;
        let bytes = fs::read(&path).map_err(|source| EngineError::Read { path: path.clone(), source })?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(error.to_string()))?;
        let weight = file.tensor("weight").map_err(|error| wrong(error.to_string()))?;
        let expected = [self.manifest.labels.len(), sides[0]];
        if weight.shape() != expected || weight.dtype() != Dtype::F32 {
            let found = format!("{:?} {:?}", weight.dtype(), weight.shape());
            return Err(wrong(format!("its weight is {found}, expected F32 {expected:?}")));
        }
        let weights = weight.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        Ok(Some((output, ClassWeights { weights, sides })))
    }

    /// Path of the first graph, which is the only one of a classifier.
    pub fn model_path(&self) -> PathBuf {
        self.graph_path(0)
    }

    /// Path of a graph, in the order of the manifest.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn graph_path(&self, index: usize) -> PathBuf {
        self.dir.join(&self.manifest.graphs[index].file)
    }

    /// Checks that the bundle is for this task.
    ///
    /// # Errors
    /// [`EngineError::WrongTask`].
    pub fn expect_task(&self, expected: Task) -> Result<()> {
        match self.manifest.task {
            found if found == expected => Ok(()),
            found => Err(EngineError::WrongTask { dir: self.dir.clone(), found, expected }),
        }
    }
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
