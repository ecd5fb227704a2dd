//! The place of a SQLite database: its file, the lock that says whose it is, and the socket by which operators reach the server
//! that has it. A PostgreSQL has none: it takes several processes, and says itself who comes.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::config::{DatabaseUrl, Settings};

/// Why a database's place cannot be had; each is one line.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    #[error("the data folder {} cannot be used: {source}", path.display())]
    Data { path: PathBuf, source: std::io::Error },
    #[error("{} is in use by another snug server", path.display())]
    InUse { path: PathBuf },
}

/// Where a SQLite database lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    pub folder: PathBuf,
    pub database: PathBuf,
    lock: PathBuf,
    /// The operators' socket, which is there while a server runs.
    pub socket: PathBuf,
    /// The folder is Snug's own: it is made where it is missing.
    own: bool,
}

/// The lock on a [`Home`], until it is dropped or the process ends: one process at a time writes.
#[derive(Debug)]
pub struct Taken(#[expect(dead_code, reason = "held for its lock")] File);

impl Home {
    /// The home that these settings name; none with PostgreSQL.
    #[must_use]
    pub fn of(settings: &Settings) -> Option<Self> {
        let Some(url) = settings.database_url.as_ref().map(DatabaseUrl::as_str) else {
            let within = |name| settings.data.join(name);
            let (database, lock, socket) = (within("snug.db"), within("lock"), within("admin.sock"));
            return Some(Self { folder: settings.data.clone(), database, lock, socket, own: true });
        };
        let database = PathBuf::from(url.strip_prefix("sqlite://")?);
        let folder = match database.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let (lock, socket) = (database.with_added_extension("lock"), database.with_added_extension("sock"));
        Some(Self { folder, database, lock, socket, own: false })
    }

    /// Locks it for this process.
    ///
    /// # Errors
    /// [`HomeError`]: the folder cannot be used, or another process has it.
    pub fn take(&self) -> Result<Taken, HomeError> {
        if self.own {
            let data = |source| HomeError::Data { path: self.folder.clone(), source };
            // For this user alone: it holds everyone's messages.
            DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(data)?;
        }
        let lock = |source| HomeError::Data { path: self.lock.clone(), source };
        let file = File::options().create(true).truncate(false).write(true).open(&self.lock).map_err(lock)?;
        match file.try_lock() {
            Ok(()) => Ok(Taken(file)),
            Err(std::fs::TryLockError::WouldBlock) => Err(HomeError::InUse { path: self.folder.clone() }),
            Err(std::fs::TryLockError::Error(source)) => Err(lock(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(url: Option<&str>) -> Option<Home> {
        Home::of(&Settings { database_url: url.map(|url| url.to_owned().into()), ..Settings::default() })
    }

    #[test]
    fn a_sqlite_database_has_its_lock_and_socket_beside_it() {
        let home_of = |url| home(url).expect("a home");
        assert_eq!(home_of(None).socket, Path::new("data/admin.sock"));
        let other = home_of(Some("sqlite:///srv/chat.db"));
        assert_eq!((other.folder.as_path(), other.socket.as_path()), (Path::new("/srv"), Path::new("/srv/chat.db.sock")));
        assert_eq!(home_of(Some("sqlite://chat.db")).folder, Path::new("."));
        assert_eq!(home(Some("postgres://localhost/snug")), None);
    }
}
