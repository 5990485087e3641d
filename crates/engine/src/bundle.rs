//! A bundle on disk: the folder that `export` writes.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use unscene_models::manifest::{MANIFEST_FILE, Manifest};

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
        let dir = dir.as_ref().to_path_buf();
        let path = dir.join(MANIFEST_FILE);
        if !path.exists() && dir.join("config.json").is_file() {
            return Err(EngineError::RunFolder { dir });
        }
        let text = fs::read_to_string(&path).map_err(|source| EngineError::Read { path: path.clone(), source })?;
        let manifest = Manifest::from_json(&text).map_err(|source| EngineError::Manifest { path, source })?;
        for graph in &manifest.graphs {
            let path = dir.join(&graph.file);
            let found = sha256_of(&path).map_err(|source| EngineError::Read { path: path.clone(), source })?;
            if !found.eq_ignore_ascii_case(&graph.sha256) {
                return Err(EngineError::Checksum { path, found, expected: graph.sha256.clone() });
            }
        }
        Ok(Self { dir, manifest })
    }

    /// The folder's name, by which a service calls the model.
    pub fn name(&self) -> String {
        // A path such as `.` has no last part until it is resolved.
        let full = self.dir.canonicalize().unwrap_or_else(|_| self.dir.clone());
        full.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned())
    }

    /// Path of the classification graph.
    pub fn model_path(&self) -> PathBuf {
        self.dir.join(&self.manifest.graphs[0].file)
    }
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
