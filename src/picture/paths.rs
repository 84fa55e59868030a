//! Paths as people type and paste them.

use std::path::PathBuf;

/// A path from text that was typed or pasted: surrounding white space and one pair of matching quotes go, a `file://`
/// address becomes a path (its `%20` and the like decoded). Everything else stays as it is.
///
/// ```
/// use std::path::Path;
/// assert_eq!(glassbox::picture::paths::clean(" \"/tmp/my photo.jpg\" "), Path::new("/tmp/my photo.jpg"));
/// assert_eq!(glassbox::picture::paths::clean("file:///tmp/my%20photo.jpg"), Path::new("/tmp/my photo.jpg"));
/// ```
#[must_use]
pub fn clean(text: &str) -> PathBuf {
    const PAIRS: [(char, char); 5] = [('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’'), ('«', '»')];
    let mut text = text.trim();
    for (open, close) in PAIRS {
        if let Some(inner) = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
            text = inner.trim();
            break;
        }
    }
    match text.strip_prefix("file://") {
        Some(rest) => PathBuf::from(percent_decoded(rest.strip_prefix("localhost").unwrap_or(rest))),
        None => PathBuf::from(text),
    }
}

/// `%C3%A9` → `é`; left as it is where it does not decode to UTF-8.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    // `/C:/photo.jpg` is how Windows paths look in file addresses.
    let path = String::from_utf8(out).unwrap_or_else(|_| text.to_owned());
    let drive = path.as_bytes();
    if drive.len() > 2 && drive[0] == b'/' && drive[1].is_ascii_alphabetic() && drive[2] == b':' {
        return path[1..].to_owned();
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn quotes_go_inner_ones_stay() {
        assert_eq!(clean("'/a/b c.png'"), Path::new("/a/b c.png"));
        assert_eq!(clean("“/a/ü 日本.png”"), Path::new("/a/ü 日本.png"));
        assert_eq!(clean("/a/it's.png"), Path::new("/a/it's.png"));
        assert_eq!(clean("\""), Path::new("\""));
        assert_eq!(clean("\"C:\\Users\\Ann\\a.png\"\n"), Path::new("C:\\Users\\Ann\\a.png"));
    }

    #[test]
    fn file_addresses() {
        assert_eq!(clean("file://localhost/a/%C3%A9%20%F0%9F%8C%BB.png"), Path::new("/a/é 🌻.png"));
        assert_eq!(clean("file:///C:/a%.png"), Path::new("C:/a%.png"));
        assert_eq!(clean("file:///a/%zz%e"), Path::new("/a/%zz%e"));
    }
}
