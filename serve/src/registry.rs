//! The models that are served, and their exchange while they are.
//!
//! A bundle is known by its manifest, which has the hash of every file. One that has changed is loaded beside the one that is
//! served and takes its place when it is ready; requests that began with the old one end with it. One that cannot be loaded
//! changes nothing, and `GET /v1/models` says why.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use unscene_engine::{Bundle, EngineError, EngineOptions};
use unscene_models::manifest::{MANIFEST_FILE, Task};

use crate::loaded::Loaded;
use crate::metrics::Metrics;
use crate::options::ServeOptions;
use crate::service::StartError;

/// A model that is served.
#[derive(Clone)]
pub struct Served {
    /// The model.
    pub model: Loaded,
    /// When it was loaded.
    pub since: SystemTime,
    folder: PathBuf,
    manifest: String,
}

/// A bundle that could not be loaded.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Why.
    pub reason: String,
    /// When that was found.
    pub since: SystemTime,
    manifest: Option<String>,
    files: Files,
}

/// Names, sizes and times of a bundle's files: while they stay as they are, one that is broken stays so.
type Files = Vec<(OsString, u64, Option<SystemTime>)>;

fn files(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let about = |entry: fs::DirEntry| {
        let about = entry.metadata().ok()?;
        Some((entry.file_name(), about.len(), about.modified().ok()))
    };
    let mut files: Files = entries.filter_map(about).collect();
    files.sort();
    files
}

/// What was noted when last looked for changes.
#[derive(Default)]
struct Noted {
    /// Bundles that were not there.
    absent: HashSet<PathBuf>,
    /// Bundles whose name another has.
    in_vain: HashSet<PathBuf>,
}

/// The models of a service.
pub struct Registry {
    bundles: Vec<PathBuf>,
    folder: Option<PathBuf>,
    defaults: Vec<String>,
    /// The defaults by what they do, as soon as they were loaded.
    default_tasks: OnceLock<Vec<(Task, String)>>,
    engine: EngineOptions,
    metrics: Metrics,
    serving: RwLock<Arc<Vec<Served>>>,
    broken: RwLock<BTreeMap<String, Broken>>,
    /// Held by who changes something.
    changing: Mutex<Noted>,
    is_loaded: AtomicBool,
}

impl Registry {
    /// A registry that has loaded nothing yet.
    pub fn new(options: &ServeOptions, metrics: Metrics) -> Self {
        Self {
            bundles: options.bundles.clone(),
            folder: options.models.clone(),
            defaults: options.defaults.clone(),
            default_tasks: OnceLock::new(),
            engine: EngineOptions {
                engine: options.engine,
                device: options.device,
                threads: options.threads,
                batch: options.max_batch,
                max_wait_ms: options.max_wait_ms,
            },
            metrics,
            serving: RwLock::default(),
            broken: RwLock::default(),
            changing: Mutex::default(),
            is_loaded: AtomicBool::new(false),
        }
    }

    /// Loads every bundle for the first time.
    ///
    /// # Errors
    ///
    /// When one that was named cannot be loaded, two have one name, the folder cannot be read, or a default names none or one that
    /// cannot be loaded. Another bundle of the folder that cannot be loaded is told of and left out.
    pub fn load(&self) -> Result<(), StartError> {
        let mut names = HashSet::new();
        for folder in self.folders()? {
            let (name, named) = (name_of(&folder), self.bundles.contains(&folder));
            if !names.insert(name.clone()) {
                return Err(StartError::DuplicateName { folder, name });
            }
            match self.refresh(&folder) {
                Err(source) if named => return Err(StartError::Bundle { folder, source: Box::new(source) }),
                // Told of, and noted as broken.
                _ => {}
            }
        }
        let missing = self.defaults.iter().find(|name| !names.contains(*name));
        if let Some(name) = missing {
            let mut loaded: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            loaded.sort();
            return Err(StartError::NoDefault { name: name.clone(), loaded: loaded.join(", ") });
        }
        let (serving, mut default_tasks) = (self.serving(), vec![]);
        for name in &self.defaults {
            let served = serving.iter().find(|served| served.model.name() == name);
            let reason = || self.broken().get(name).map_or_else(String::new, |broken| broken.reason.clone());
            let served = served.ok_or_else(|| StartError::BrokenDefault { name: name.clone(), reason: reason() })?;
            default_tasks.push((served.model.task(), name.clone()));
        }
        let _loaded_once = self.default_tasks.set(default_tasks);
        self.is_loaded.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether the first load has ended.
    pub fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// What is served now, in the order of the command line, then of names.
    pub fn serving(&self) -> Arc<Vec<Served>> {
        self.serving.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What could not be loaded, by name.
    pub fn broken(&self) -> BTreeMap<String, Broken> {
        self.broken.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The model that answers requests of a task which name none: a default of the command line, or the first.
    ///
    /// # Errors
    ///
    /// That the default is not there any more: no other takes its place in silence.
    pub fn default_of(&self, task: Task) -> Result<Option<Served>, String> {
        let serving = self.serving();
        let defaults = self.default_tasks.get().map_or(&[][..], Vec::as_slice);
        let mut named = defaults.iter().filter(|(of, _)| *of == task).map(|(_, name)| name).peekable();
        let Some(&first) = named.peek() else {
            return Ok(serving.iter().find(|served| served.model.task() == task).cloned());
        };
        let is_of = |served: &&Served, name: &String| served.model.task() == task && served.model.name() == name;
        let found = named.find_map(|name| serving.iter().find(|served| is_of(served, name)));
        let gone = || {
            format!("the default model `{first}` is not there any more; name one with `model`, or put its bundle back")
        };
        found.cloned().map(Some).ok_or_else(gone)
    }

    /// Loads what is new or changed, and lets go of what has gone. What cannot be loaded is told of once.
    pub fn refresh_all(&self) {
        let folders = match self.folders() {
            Ok(folders) => folders,
            Err(error) => return tracing::warn!("models are left as they are: {error}"),
        };
        let mut names = HashSet::new();
        for folder in &folders {
            if !names.insert(name_of(folder)) {
                self.tell_in_vain(folder);
                continue;
            }
            // Told of, and noted as broken.
            let _ = self.refresh(folder);
        }
        for served in self.serving().iter().filter(|served| !folders.contains(&served.folder)) {
            let _ = self.refresh(&served.folder);
        }
        // What is not there any more is not broken.
        let serving = self.serving();
        let is_there = |name: &String| names.contains(name) || serving.iter().any(|served| served.model.name() == name);
        self.broken.write().unwrap_or_else(PoisonError::into_inner).retain(|name, _| is_there(name));
        self.changing().in_vain.retain(|folder| folders.contains(folder));
    }

    /// Loads a bundle again, whether or not it has changed; false when there is none of that name.
    ///
    /// # Errors
    ///
    /// When it cannot be loaded; what was served before is served still.
    pub fn reload(&self, name: &str) -> Result<bool, EngineError> {
        let serving = self.serving();
        let served = serving.iter().find(|served| served.model.name() == name).map(|served| served.folder.clone());
        let listed = || self.folders().ok()?.into_iter().find(|folder| name_of(folder) == name);
        let Some(folder) = served.or_else(listed) else { return Ok(false) };
        let _changing = self.changing();
        self.exchange(&folder, Bundle::read_manifest(&folder))?;
        Ok(true)
    }

    /// Loads one bundle if it is new or changed.
    fn refresh(&self, folder: &Path) -> Result<(), EngineError> {
        let name = name_of(folder);
        let absent = &mut self.changing().absent;
        let read = Bundle::read_manifest(folder);
        let manifest = read.as_ref().ok();
        let serving = self.serving();
        let served = serving.iter().find(|served| served.folder == folder);
        match (manifest, served) {
            // It may be about to be replaced: gone is what is not there twice.
            (None, Some(_))
                if self.bundles.iter().any(|named| named == folder) || absent.insert(folder.to_path_buf()) =>
            {
                return Ok(());
            }
            (None, Some(_)) => {
                self.put(folder, None);
                self.forget(&name);
                tracing::info!(model = name, "model removed: its bundle has gone");
                return Ok(());
            }
            (Some(found), Some(served)) if *found == served.manifest => {
                absent.remove(folder);
                // Put back; but that files which it describes are broken stays noted.
                if self.broken().get(&name).is_some_and(|broken| broken.manifest.as_ref() != manifest) {
                    self.forget(&name);
                }
                return Ok(());
            }
            _ => {}
        }
        absent.remove(folder);
        let is_as_it_was = |broken: &Broken| broken.manifest.as_ref() == manifest && broken.files == files(folder);
        if manifest.is_some() && self.broken().get(&name).is_some_and(is_as_it_was) {
            return Ok(());
        }
        self.exchange(folder, read)
    }

    /// Loads a bundle by its manifest's text and serves it from then on.
    fn exchange(&self, folder: &Path, manifest: Result<String, EngineError>) -> Result<(), EngineError> {
        let (name, started, seen) = (name_of(folder), Instant::now(), files(folder));
        let text = manifest.as_ref().ok().cloned();
        let bundle = manifest.and_then(|text| Bundle::described(folder, &text));
        let loaded = bundle.and_then(|bundle| Loaded::load(&bundle, &self.engine));
        let result = if loaded.is_ok() { "ok" } else { "failed" };
        self.metrics.model_loads.with_label_values(&[name.as_str(), result]).inc();
        let since = SystemTime::now();
        match loaded {
            Ok(model) => {
                let (metrics, counted) = (self.metrics.clone(), name.clone());
                model.graphs().observe(move |run| metrics.count_batch(&counted, run));
                tracing::info!(
                    model = name,
                    task = %model.task(),
                    engine = model.graphs().engine_name(),
                    device = model.graphs().device_name(),
                    seconds = started.elapsed().as_secs_f64(),
                    "model loaded"
                );
                let manifest = text.unwrap_or_default();
                self.put(folder, Some(Served { model, since, folder: folder.to_path_buf(), manifest }));
                self.forget(&name);
                Ok(())
            }
            Err(error) => {
                tracing::error!(model = name, %error, "model not loaded; what was served before is served still");
                // Clients read it: where the folder lies is not for them.
                let reason = error.to_string().replace(&*folder.to_string_lossy(), &name);
                let broken = Broken { reason, since, manifest: text, files: seen };
                self.broken.write().unwrap_or_else(PoisonError::into_inner).insert(name, broken);
                Err(error)
            }
        }
    }

    /// Puts a model in its place, or takes away the one that is there.
    fn put(&self, folder: &Path, new: Option<Served>) {
        let mut models: Vec<Served> = self.serving().to_vec();
        models.retain(|served| served.folder != folder);
        models.extend(new);
        let place = |served: &Served| self.bundles.iter().position(|named| *named == served.folder);
        models.sort_by_key(|served| (place(served).unwrap_or(usize::MAX), served.model.name().to_owned()));
        *self.serving.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(models);
    }

    /// A bundle that appears beside one of its name is left out, and told of once.
    fn tell_in_vain(&self, folder: &Path) {
        if self.changing().in_vain.insert(folder.to_path_buf()) {
            tracing::warn!("{}: left out, because another model has its name; rename the folder", folder.display());
        }
    }

    fn changing(&self) -> MutexGuard<'_, Noted> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, name: &str) {
        self.broken.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The bundles that were named, and those in the folder.
    fn folders(&self) -> Result<Vec<PathBuf>, StartError> {
        let mut folders = self.bundles.clone();
        if let Some(folder) = &self.folder {
            let error = |source| StartError::Models { folder: folder.clone(), source };
            let entries = fs::read_dir(folder).map_err(error)?.collect::<Result<Vec<_>, _>>().map_err(error)?;
            let mut found: Vec<_> = entries.iter().map(fs::DirEntry::path).collect();
            // Those with a dot are being written; one that was named is there already.
            let named: Vec<_> = self.bundles.iter().filter_map(|named| named.canonicalize().ok()).collect();
            let is_named = |path: &PathBuf| path.canonicalize().is_ok_and(|path| named.contains(&path));
            found.retain(|path| {
                path.join(MANIFEST_FILE).is_file() && !name_of(path).starts_with('.') && !is_named(path)
            });
            found.sort();
            folders.extend(found);
        }
        Ok(folders)
    }
}

/// What a bundle's model is called.
fn name_of(folder: &Path) -> String {
    Bundle::name_of(folder)
}
