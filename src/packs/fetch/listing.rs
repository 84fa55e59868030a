//! Which files a repository has at a revision, with their lengths and hashes, as the hub's interface tells.
//!
//! `/api/models/OWNER/NAME/revision/REVISION` gives the commit that is meant, so that everything that follows is of one
//! commit; `/api/models/OWNER/NAME/tree/COMMIT?recursive=true` gives the files, in pages.

use serde::Deserialize;
use serde_json::Value;

use super::FetchError;
use super::address::{escaped, escaped_revision};
use super::digest::Fingerprint;
use super::hub::Hub;

/// No repository of one model has more files.
const MAX_FILES: usize = 10_000;

/// A file in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteFile {
    /// Its path, with slashes.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// The hash of its content.
    pub hash: Option<Fingerprint>,
}

/// A repository at one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listing {
    /// The full name of the commit.
    pub commit: String,
    /// Its files, in the order of their paths.
    pub files: Vec<RemoteFile>,
}

#[derive(Deserialize)]
struct Revision {
    sha: String,
}

#[derive(Deserialize)]
struct Commit {
    id: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    oid: String,
    lfs: Option<Large>,
}

/// What is told of a file that git itself does not hold.
#[derive(Deserialize)]
struct Large {
    #[serde(default)]
    oid: String,
    size: u64,
}

/// Lists the repository of `hub` at `revision` (a branch, a tag, or a commit, its name cut short or not).
pub(super) fn list(hub: &Hub<'_>, revision: &str) -> Result<Listing, FetchError> {
    let repository = hub.repository;
    let commit = commit(hub, revision)?;
    let what = format!("the list of the files of {repository}");
    let mut next = Some(hub.address(&format!(
        "api/models/{}/tree/{}?recursive=true&expand=false",
        escaped(repository),
        escaped_revision(&commit)
    ))?);
    let mut files = Vec::new();
    while let Some(address) = next {
        let (entries, following): (Vec<Entry>, _) = hub.json(&address, &what)?;
        // A page that brings nothing and names a next one would have no end.
        next = following.filter(|_| !entries.is_empty());
        for entry in entries.into_iter().filter(|entry| entry.kind == "file") {
            files.push(file(repository, entry)?);
        }
        if files.len() > MAX_FILES {
            return Err(refused(repository, format!("it has more than {MAX_FILES} files")));
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(Listing { commit, files })
}

/// The full name of the commit that `revision` means.
fn commit(hub: &Hub<'_>, revision: &str) -> Result<String, FetchError> {
    let repository = escaped(hub.repository);
    let what = format!("{} at {revision}", hub.repository);
    let full = |name: &str| name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let short = (7..40).contains(&revision.len()) && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    if short {
        // The interface wants a commit's whole name: look through the history of the main branch.
        let mut next = Some(hub.address(&format!("api/models/{repository}/commits/main"))?);
        while let Some(address) = next {
            let (commits, following): (Vec<Commit>, _) = hub.json(&address, &what)?;
            if let Some(found) = commits.iter().find(|commit| commit.id.starts_with(revision) && full(&commit.id)) {
                return Ok(found.id.clone());
            }
            next = following.filter(|_| !commits.is_empty());
        }
        return Err(FetchError::NotFound { host: super::hub::host(&hub.address("")?), what });
    }
    let address = hub.address(&format!("api/models/{repository}/revision/{}", escaped_revision(revision)))?;
    let (found, _): (Value, _) = hub.json(&address, &what)?;
    match serde_json::from_value::<Revision>(found) {
        Ok(found) if full(&found.sha) => Ok(found.sha),
        _ => Err(FetchError::NoHub { host: super::hub::host(&address), reason: format!("{what}: no commit is named") }),
    }
}

/// One entry of the listing, refused if its path could lead out of the model's folder.
fn file(repository: &str, entry: Entry) -> Result<RemoteFile, FetchError> {
    let plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part.ends_with(['.', ' '])
            && !part.contains(['\\', ':', '*', '?', '"', '<', '>', '|'])
            && !part.chars().any(char::is_control)
    };
    if entry.path.len() > 1000 || !entry.path.split('/').all(plain) {
        return Err(refused(repository, format!("it names the file {:?}", entry.path)));
    }
    Ok(match entry.lfs {
        Some(large) => RemoteFile {
            path: entry.path,
            bytes: large.size,
            hash: Fingerprint::of_tag(large.oid.trim_start_matches("sha256:"))
                .filter(|hash| matches!(hash, Fingerprint::Sha256(_))),
        },
        None => RemoteFile {
            path: entry.path,
            bytes: entry.size,
            hash: Fingerprint::of_tag(&entry.oid).filter(|hash| matches!(hash, Fingerprint::Git(_))),
        },
    })
}

fn refused(repository: &str, detail: String) -> FetchError {
    FetchError::Refused { repository: repository.to_owned(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let of = |path: &str| {
            let entry = serde_json::json!({"type": "file", "path": path, "size": 3, "oid": "00"});
            file("a/b", serde_json::from_value(entry).unwrap())
        };
        for good in ["config.json", "unet/config.json", "a b/ü 日本.bin", ".gitattributes"] {
            assert_eq!(of(good).unwrap().path, good);
        }
        for bad in ["../x", "/etc/passwd", "a//b", "a/../b", "C:\\x", "a\\b", "a/.", "", "a\n", "nul:x", "x."] {
            assert!(of(bad).unwrap_err().to_string().contains("refused"), "{bad}");
        }
    }
}
