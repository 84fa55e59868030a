//! Addresses on the hub: paths with their odd letters written as the web wants them, and where a redirect leads.

use ureq::http::Uri;

/// `path` with everything but letters, digits and `-._~/` as percent signs and digits.
pub(super) fn escaped(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// A revision within a path: a branch's name may hold slashes.
pub(super) fn escaped_revision(revision: &str) -> String {
    escaped(revision).replace('/', "%2F")
}

/// Where `location`, a redirect's or link's target, leads from `from`.
pub(super) fn joined(from: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default().trim();
    let text = if location.contains("://") {
        location.to_owned()
    } else {
        let scheme = from.scheme_str()?;
        let authority = from.authority()?;
        if let Some(rest) = location.strip_prefix("//") {
            format!("{scheme}://{rest}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else if location.starts_with('?') {
            format!("{scheme}://{authority}{}{location}", from.path())
        } else {
            let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{authority}{folder}/{location}")
        }
    };
    let address: Uri = text.parse().ok()?;
    let known = matches!(address.scheme_str(), Some("http" | "https")) && address.host().is_some();
    known.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_letters_and_relative_targets() {
        assert_eq!(escaped("a b/é#?.bin"), "a%20b/%C3%A9%23%3F.bin");
        assert_eq!(escaped_revision("refs/pr/1"), "refs%2Fpr%2F1");
        let from: Uri = "https://hub.example:8443/a/b?c=d".parse().unwrap();
        for (location, target) in [
            ("https://cdn.example/x?y=z", "https://cdn.example/x?y=z"),
            ("//cdn.example/x", "https://cdn.example/x"),
            ("/x/y", "https://hub.example:8443/x/y"),
            ("e", "https://hub.example:8443/a/e"),
            ("?cursor=2", "https://hub.example:8443/a/b?cursor=2"),
        ] {
            assert_eq!(joined(&from, location).unwrap().to_string(), target);
        }
        for bad in ["ftp://a/b", "file:///etc/passwd", "http://", "https://a b"] {
            assert!(joined(&from, bad).is_none(), "{bad}");
        }
    }
}
