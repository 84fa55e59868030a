//! Files written whole or not at all.
//!
//! The bytes go to a temporary file in the same folder, are flushed to the disk, and only then take the name asked for,
//! so that a full disk, a crash or a lost plug leaves the old file as it was.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes `path` through `fill`, replacing what is there only once everything is on the disk.
///
/// A symbolic link is followed: the file it points to is replaced, the link stays.
///
/// # Errors
/// Whatever `fill` or the file system says; the old file, if any, is then untouched and no temporary file stays behind.
pub fn write<T, E>(path: &Path, fill: impl FnOnce(&mut BufWriter<&File>) -> Result<T, E>) -> Result<T, E>
where
    E: From<io::Error>,
{
    finish(path, true, fill)
}

/// Like [`write`], but fails with [`io::ErrorKind::AlreadyExists`] where there already is a file of that name.
///
/// # Errors
/// As [`write`].
pub fn write_new<T, E>(path: &Path, fill: impl FnOnce(&mut BufWriter<&File>) -> Result<T, E>) -> Result<T, E>
where
    E: From<io::Error>,
{
    finish(path, false, fill)
}

fn finish<T, E>(path: &Path, replace: bool, fill: impl FnOnce(&mut BufWriter<&File>) -> Result<T, E>) -> Result<T, E>
where
    E: From<io::Error>,
{
    let target = resolve(path);
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if target.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder").into());
    }
    if !replace && target.symlink_metadata().is_ok() {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".glassbox-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // What an ordinary new file gets: the process's mask takes its bits off.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(folder)?;
    let value = {
        let mut writer = BufWriter::with_capacity(1 << 18, temporary.as_file());
        let value = fill(&mut writer)?;
        writer.flush()?;
        value
    };
    if replace && let Ok(old) = fs::metadata(&target) {
        // A replaced file keeps its permissions; where that is not allowed, an ordinary file's do.
        let _ = temporary.as_file().set_permissions(old.permissions());
    }
    temporary.as_file().sync_all()?;
    let kept = if replace { temporary.persist(&target) } else { temporary.persist_noclobber(&target) };
    kept.map_err(|failed| failed.error)?;
    sync_folder(folder);
    Ok(value)
}

fn resolve(path: &Path) -> PathBuf {
    match path.symlink_metadata() {
        Ok(meta) if meta.file_type().is_symlink() => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        _ => path.to_owned(),
    }
}

/// Makes the new name itself survive a power cut; file systems that cannot do this are no reason to fail.
pub(crate) fn sync_folder(folder: &Path) {
    if cfg!(unix)
        && let Ok(folder) = File::open(folder)
    {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failure_half_way_leaves_the_old_file_and_no_rubbish() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ü 日本.png");
        write(&path, |file| file.write_all(b"old")).unwrap();
        let failed: io::Result<()> = write(&path, |file| {
            file.write_all(&[7; 1 << 20])?;
            Err(io::Error::other("the disk is full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["ü 日本.png"]);
        write(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_new_file_never_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_new(&path, |file| file.write_all(b"1")).unwrap();
        let second: io::Result<()> = write_new(&path, |file| file.write_all(b"2"));
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"1");
        let folder_itself: io::Result<()> = write(folder.path(), |file| file.write_all(b"2"));
        assert!(folder_itself.is_err());
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_ordinary_and_kept_and_links_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let link = folder.path().join("link");
        write(&path, |file| file.write_all(b"1")).unwrap();
        assert_ne!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o044,
            0,
            "readable by others as the mask allows"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&path, &link).unwrap();
        write(&link, |file| file.write_all(b"2")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
    }
}
