//! Who may do what: API keys, of which only hashes are known, with a scope and a rate each.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Predictions, and the list of models.
    Predict,
    /// The exchange of models, and the metrics.
    Admin,
}

/// A file of keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    #[serde(default, rename = "key")]
    keys: Vec<KeyEntry>,
}

/// A key as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    name: String,
    sha256: String,
    scopes: Vec<Scope>,
    per_minute: Option<NonZeroU32>,
}

/// A key.
struct Key {
    name: String,
    sha256: [u8; 32],
    scopes: Vec<Scope>,
    rate: Option<Arc<Rate>>,
}

/// How often a key may be used, and how often it was of late.
struct Rate {
    per_minute: NonZeroU32,
    limiter: DefaultDirectRateLimiter,
}

/// Why a request is not let in.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Denied {
    /// It has no key.
    #[error("this needs an API key; send it as `Authorization: Bearer KEY`")]
    NoKey,
    /// Nobody has that key.
    #[error("the API key is not known here")]
    UnknownKey,
    /// The key is for something else.
    #[error("the API key `{0}` is not for this")]
    Scope(String),
    /// It came too often.
    #[error("the API key `{name}` was used more often than it may; try again in {retry_after_s} s")]
    Rate {
        /// The key's name.
        name: String,
        /// When it may be used again.
        retry_after_s: u64,
    },
}

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct KeyFileError {
    path: PathBuf,
    problem: String,
}

/// The keys of a service; clones share them.
#[derive(Clone)]
pub struct Keys {
    path: PathBuf,
    keys: Arc<RwLock<Arc<Vec<Key>>>>,
    /// What the file had in it when it was last read, whether or not it could be used.
    seen: Arc<Mutex<String>>,
}

impl Keys {
    /// Reads a file of keys.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or has a mistake; the message says where.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let text = read(path)?;
        let keys = parse(path, &text, &[])?;
        let (keys, seen) = (Arc::new(RwLock::new(Arc::new(keys))), Arc::new(Mutex::new(text)));
        Ok(Self { path: path.to_path_buf(), keys, seen })
    }

    /// Reads the file again if it has changed. One with a mistake changes nothing, and the log says so once.
    pub fn refresh(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let text = read(&self.path);
        let now = text.as_ref().map_or_else(ToString::to_string, Clone::clone);
        if *seen == now {
            return;
        }
        let known = self.known();
        match text.and_then(|text| parse(&self.path, &text, &known)) {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "API keys read again");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            }
            Err(error) => tracing::error!("API keys are left as they were: {error}"),
        }
        *seen = now;
    }

    fn known(&self) -> Arc<Vec<Key>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The name of the key in an `Authorization` header, if it may do this now.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn check(&self, authorization: Option<&str>, scope: Scope) -> Result<String, Denied> {
        let mut words = authorization.ok_or(Denied::NoKey)?.splitn(2, ' ');
        let scheme = words.next().unwrap_or_default();
        let given = words.next().filter(|_| scheme.eq_ignore_ascii_case("bearer")).ok_or(Denied::NoKey)?;
        let hash: [u8; 32] = Sha256::digest(given.trim()).into();
        let keys = self.known();
        // Every key is compared whole, so that time tells nothing of them.
        let matches: Vec<Choice> = keys.iter().map(|key| key.sha256.ct_eq(&hash)).collect();
        let found = keys.iter().zip(matches).find(|(_, is_it)| bool::from(*is_it));
        let (key, _) = found.ok_or(Denied::UnknownKey)?;
        if !key.scopes.contains(&scope) {
            return Err(Denied::Scope(key.name.clone()));
        }
        if let Some(Err(until)) = key.rate.as_ref().map(|rate| rate.limiter.check()) {
            let wait = until.wait_time_from(DefaultClock::default().now());
            return Err(Denied::Rate { name: key.name.clone(), retry_after_s: whole_seconds(wait) });
        }
        Ok(key.name.clone())
    }
}

/// Rounded up.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs_f64().ceil().max(1.0) as u64
}

fn read(path: &Path) -> Result<String, KeyFileError> {
    let wrong = |problem: String| KeyFileError { path: path.to_path_buf(), problem };
    std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))
}

/// Keys of a file. Those that were known before, with the same rate, have been used as often as before.
fn parse(path: &Path, text: &str, known: &[Key]) -> Result<Vec<Key>, KeyFileError> {
    let wrong = |problem: String| KeyFileError { path: path.to_path_buf(), problem };
    let file: KeyFile = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let mut keys: Vec<Key> = vec![];
    for entry in file.keys {
        let name = entry.name;
        let hash = digits(&entry.sha256).ok_or_else(|| {
            wrong(format!(
                "key `{name}`: sha256 is {:?}, expected 64 hexadecimal digits, as `sha256sum` prints",
                entry.sha256
            ))
        })?;
        if keys.iter().any(|other| other.name == name || other.sha256 == hash) {
            return Err(wrong(format!("key `{name}`: another key has its name or its hash")));
        }
        if entry.scopes.is_empty() {
            return Err(wrong(format!("key `{name}`: scopes is empty, expected \"predict\", \"admin\" or both")));
        }
        let before = known.iter().find(|key| key.name == name).and_then(|key| key.rate.clone());
        let rate = entry.per_minute.map(|per_minute| {
            let made = || Arc::new(Rate { per_minute, limiter: RateLimiter::direct(Quota::per_minute(per_minute)) });
            before.filter(|rate| rate.per_minute == per_minute).unwrap_or_else(made)
        });
        keys.push(Key { name, sha256: hash, scopes: entry.scopes, rate });
    }
    Ok(keys)
}

fn digits(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().ok().filter(|_| digits.len() == 64)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn hash(key: &str) -> String {
        Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn entry(name: &str, key: &str, rest: &str) -> String {
        format!("[[key]]\nname = \"{name}\"\nsha256 = \"{}\"\n{rest}\n", hash(key))
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_key_does_what_it_is_for() {
        let text = entry("ci", "secret", "scopes = [\"predict\"]")
            + &entry("boss", "other", "scopes = [\"admin\", \"predict\"]");
        let (_folder, path) = file(&text);
        let keys = Keys::read(&path).unwrap();
        let check = |header: Option<&str>, scope| keys.check(header, scope);
        assert_eq!(check(Some("Bearer secret"), Scope::Predict), Ok("ci".into()));
        assert_eq!(check(Some("bearer  other"), Scope::Admin), Ok("boss".into()));
        assert_eq!(check(Some("Bearer secret"), Scope::Admin), Err(Denied::Scope("ci".into())));
        assert_eq!(check(Some("Bearer wrong"), Scope::Predict), Err(Denied::UnknownKey));
        for header in [None, Some("Basic secret"), Some("secret"), Some("")] {
            assert_eq!(check(header, Scope::Predict), Err(Denied::NoKey), "{header:?}");
        }
    }

    #[test]
    fn a_rate_holds_for_its_own_key() {
        let text = entry("slow", "a", "scopes = [\"predict\"]\nper_minute = 2")
            + &entry("fast", "b", "scopes = [\"predict\"]");
        let (_folder, path) = file(&text);
        let keys = Keys::read(&path).unwrap();
        let slow: Vec<_> = (0..3).map(|_| keys.check(Some("Bearer a"), Scope::Predict)).collect();
        assert!(slow[..2].iter().all(Result::is_ok));
        assert!(matches!(slow[2], Err(Denied::Rate { retry_after_s: 1..=30, .. })), "{:?}", slow[2]);
        assert!((0..100).all(|_| keys.check(Some("Bearer b"), Scope::Predict).is_ok()));
        // A change of the file gives no new start.
        fs::write(&path, format!("{text}# changed")).unwrap();
        keys.refresh();
        assert!(keys.check(Some("Bearer a"), Scope::Predict).is_err());
    }

    #[test]
    fn a_changed_file_counts_and_a_broken_one_does_not() {
        let (_folder, path) = file(&entry("old", "old", "scopes = [\"predict\"]"));
        let keys = Keys::read(&path).unwrap();
        fs::write(&path, entry("new", "new", "scopes = [\"predict\"]")).unwrap();
        keys.refresh();
        assert_eq!(keys.check(Some("Bearer old"), Scope::Predict), Err(Denied::UnknownKey));
        fs::write(&path, "[[key]]\nname = 7").unwrap();
        keys.refresh();
        assert!(keys.check(Some("Bearer new"), Scope::Predict).is_ok());
    }

    #[test]
    fn mistakes_in_a_file_are_named() {
        let valid = entry("ci", "secret", "scopes = [\"predict\"]");
        for (text, words) in [
            (valid.replace("sha256 = \"", "sha256 = \"x"), "64 hexadecimal digits"),
            (valid.replace("sha256 = \"", "sha256 = \"0"), "64 hexadecimal digits"),
            (valid.replace("[\"predict\"]", "[]"), "scopes is empty"),
            (valid.replace("predict", "everything"), "everything"),
            (format!("{valid}per_minute = 0"), "per_minute"),
            (format!("{valid}per_hour = 1"), "per_hour"),
            (format!("{valid}{valid}"), "another key"),
            ("key = 1".into(), "key"),
        ] {
            let (_folder, path) = file(&text);
            let error = Keys::read(&path).err().expect(words).to_string();
            assert!(error.contains(words) && error.contains("keys.toml"), "{error}");
        }
        assert!(Keys::read(Path::new("/nowhere/keys.toml")).err().unwrap().to_string().contains("cannot be read"));
    }
}
