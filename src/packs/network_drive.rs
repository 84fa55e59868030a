//! Whether a file lies on a network drive. There it must be read, not mapped: when the connection is lost, a mapped file
//! ends the program, and a read one gives an error.
//!
//! Linux lists its mounts with their kinds in `/proc/self/mounts`; Windows has names of the form `\\server\share`. Drives that
//! do not show themselves so (a drive letter of Windows, anything on macOS) are not told: `GLASSBOX_READ_WEIGHTS=1` in the
//! environment then has every file read.

use std::path::{Component, Path, PathBuf, Prefix};
use std::sync::OnceLock;

/// The kinds of file systems that live on another machine, as Linux names them; those behind `fuse.` are programs.
const REMOTE: [&str; 18] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ncpfs",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
    "davfs",
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.gcsfuse",
    "fuse.davfs2",
    "fuse.gvfsd-fuse",
    "fuse.smbnetfs",
];

/// Whether the file `path` is to be read instead of mapped.
pub(super) fn holds(path: &Path) -> bool {
    static WISHED: OnceLock<bool> = OnceLock::new();
    let wished = || std::env::var_os("GLASSBOX_READ_WEIGHTS").is_some_and(|value| !value.is_empty() && value != "0");
    if *WISHED.get_or_init(wished) {
        return true;
    }
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    if let Some(Component::Prefix(prefix)) = path.components().next()
        && matches!(prefix.kind(), Prefix::UNC(..) | Prefix::VerbatimUNC(..))
    {
        return true;
    }
    std::fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| is_remote(&path, &mounts))
}

/// Whether the mount that holds `path` in a list of mounts (device, place, kind …, a line each) is of a remote kind.
fn is_remote(path: &Path, mounts: &str) -> bool {
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (place, kind) = (words.nth(1)?, words.next()?);
        Some((PathBuf::from(unescaped(place)), kind))
    });
    // Of several mounts on one place the last is seen.
    let holding = mounted.filter(|(place, _)| path.starts_with(place)).max_by_key(|(place, _)| place.as_os_str().len());
    holding.is_some_and(|(_, kind)| REMOTE.contains(&kind))
}

/// Blanks, tabs, line ends and backslashes of a mount's place are written as three octal digits behind a backslash.
fn unescaped(place: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(place.to_owned(), |place, (written, meant)| place.replace(written, meant))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "/dev/sda1 / ext4 rw 0 0\nserver:/home /home nfs4 rw 0 0\n/dev/sdb1 /home/me/fast ext4 rw 0 0\n\
        //nas/models /mnt/my\\040models cifs rw 0 0\nme@far: /mnt/far fuse.sshfs rw 0 0\nbroken\n";

    #[test]
    fn the_deepest_mount_decides() {
        for (path, remote) in [
            ("/model.safetensors", false),
            ("/home/me/model.safetensors", true),
            ("/home/me/fast/model.safetensors", false),
            ("/homes/model.safetensors", false),
            ("/mnt/my models/model.safetensors", true),
            ("/mnt/far/model.safetensors", true),
        ] {
            assert_eq!(is_remote(Path::new(path), MOUNTS), remote, "{path}");
        }
        let covered = "a /x ext4 rw\nb /x nfs rw\n";
        assert!(is_remote(Path::new("/x/y"), covered) && !is_remote(Path::new("/x/y"), ""));
    }
}
