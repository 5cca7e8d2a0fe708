//! Which files a mapping on the card may name.
//!
//! The card is open to every PC. A mapping from it must not make this write, or quote in its
//! report, a file that is none of the gateway's.

use std::io;
use std::path::{Component, Path, PathBuf};

/// The file that a mapping in the gateway's folder names, which is below `root`.
///
/// # Errors
///
/// If it is not in that folder, or a link leads out of it.
pub(crate) fn inside(root: &Path, folder: &Path, named: &Path) -> Result<PathBuf, String> {
    let own = root.join(folder);
    let outside = || {
        let own = Path::new("/").join(folder);
        format!(
            "{} is not in {}, where the gateway's files are",
            named.display(),
            own.display()
        )
    };
    // An absolute path is meant as the system will see it that is below the root.
    let path = match named.strip_prefix("/") {
        Ok(rest) => root.join(rest),
        Err(_) => own.join(named),
    };
    let climbs = |part: Component<'_>| part == Component::ParentDir;
    if named.components().any(climbs) || !path.starts_with(&own) || path == own {
        return Err(outside());
    }
    if path.is_symlink() {
        return Err(format!("{} is a link", named.display()));
    }
    let parent = path.parent().unwrap_or(&own);
    let is_inside = || -> io::Result<bool> {
        let (root, own) = (root.canonicalize()?, own.canonicalize()?);
        let parent = parent.canonicalize()?;
        Ok(own.starts_with(root) && parent.starts_with(own))
    };
    match is_inside() {
        Ok(true) => Ok(path),
        Ok(false) => Err(outside()),
        Err(error) => Err(format!("{}: {error}", named.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_files_of_the_gateway_s_folder_are_taken_and_links_lead_nowhere() {
        let name = format!("fieldgate-inside-{}", std::process::id());
        let top = std::env::temp_dir().join(name);
        let (root, folder) = (top.join("root"), Path::new("etc/fieldgate"));
        let own = root.join(folder);
        fs::create_dir_all(own.join("sub")).unwrap();
        fs::write(top.join("outside.yaml"), "").unwrap();
        symlink(&top, own.join("away")).unwrap();
        symlink(top.join("outside.yaml"), own.join("link.yaml")).unwrap();
        for (named, want) in [
            ("users.yaml", Some("users.yaml")),
            ("sub/users.yaml", Some("sub/users.yaml")),
            ("./users.yaml", Some("users.yaml")),
            ("/etc/fieldgate/users.yaml", Some("users.yaml")),
            ("../../x", None),
            ("../fieldgate/users.yaml", None),
            ("sub/../../x", None),
            ("/etc/passwd", None),
            ("/etc/fieldgate/../passwd", None),
            ("/etc/fieldgate", None),
            ("", None),
            ("away/outside.yaml", None),
            ("link.yaml", None),
            ("nowhere/users.yaml", None),
        ] {
            let got = inside(&root, folder, Path::new(named));
            let want = want.map(|rest| own.join(rest));
            assert_eq!(got.as_ref().ok(), want.as_ref(), "{named}: {got:?}");
        }
        fs::remove_dir_all(top).unwrap();
    }
}
