//! The text of a file, and what tells it from others.

use std::path::Path;

use fieldgate_console::{NotDone, Text};
use ring::digest;

/// Bytes of a tag; so many of a digest tell texts apart.
const TAG: usize = 16;

/// What is on the disk.
pub(crate) fn read(path: &Path) -> Result<Text, NotDone> {
    let bytes = std::fs::read(path)
        .map_err(|error| NotDone::Failed(format!("{}: {error}", path.display())))?;
    let text = String::from_utf8(bytes);
    text.map(tagged)
        .map_err(|_| NotDone::Refused(format!("{} is no UTF-8 text", path.display())))
}

/// A text with its tag.
pub(super) fn tagged(text: String) -> Text {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    let bytes = digest.as_ref().iter().take(TAG);
    let tag = bytes.map(|byte| format!("{byte:02x}")).collect();
    Text { text, tag }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_that_of_the_text() {
        let [one, same, other] = ["a", "a", "a\n"].map(|text| tagged(text.to_owned()).tag);
        assert_eq!(one, same);
        assert_ne!(one, other);
        assert_eq!(one.len(), 2 * TAG);
    }
}
