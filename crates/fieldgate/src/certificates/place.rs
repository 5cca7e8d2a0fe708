//! The files of the gateway's certificate and of its own authority.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fieldgate_certificate::{self as certificate, About, Failed, Name, Pair, Wrong};
use fieldgate_config::{
    self as config, AUTHORITY, AUTHORITY_KEY, CERTIFICATE, KEY, NamedFile, Report,
};

use super::{machine, now};
use crate::backup::{self, Replacement};

/// Whoever may read the configuration may read certificates; keys are the daemon's.
const OPEN: u32 = 0o644;
const SECRET: u32 = 0o600;
/// A longer file is none of ours.
const FILE_MAX: u64 = 1 << 20;

/// Where the files are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    config: PathBuf,
    /// The certificate, and what signed it.
    pub(crate) certificate: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// The gateway's own authority.
    pub(crate) authority: PathBuf,
    authority_key: PathBuf,
    /// Certificate and key as places in the folder of the configuration, if they are there.
    inside: Option<[String; 2]>,
}

/// Why files were not replaced. Then nothing has changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotPut {
    /// The configuration names files that are not the gateway's own.
    #[error("{0}")]
    Elsewhere(String),
    /// They are of no use.
    #[error("{0}")]
    Wrong(#[from] Wrong),
    /// Nothing could be made.
    #[error("{0}")]
    NotMade(#[from] Failed),
    /// The system refuses something.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// What is there.
#[derive(Debug)]
pub(crate) struct Look {
    /// The certificate; none if there is no file, and why a file cannot be read.
    pub(crate) certificate: Result<Option<About>, String>,
    /// The authority that is kept beside it.
    pub(crate) authority: Option<About>,
    /// The authority has signed the certificate, and can sign another one.
    pub(crate) is_own: bool,
}

impl Place {
    /// Of a configuration.
    ///
    /// # Errors
    ///
    /// Why the configuration cannot be read or parsed.
    pub(crate) fn of(path: &Path) -> Result<Self, Report> {
        let named = config::named_files(path)?;
        let find = |key: &str| named.iter().find(|file| file.key == key);
        let pair = [find("broker.tls.certificate"), find("broker.tls.key")];
        let inside = match pair {
            [Some(certificate), Some(key)] => {
                let inside = |file: &NamedFile| backup::inside(path, file);
                inside(certificate).zip(inside(key))
            }
            _ => Some((CERTIFICATE.to_owned(), KEY.to_owned())),
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let file = |named: Option<&NamedFile>, usual: &str| match named {
            Some(named) => folder.join(&named.path),
            None => folder.join(usual),
        };
        Ok(Self {
            config: path.to_owned(),
            certificate: file(pair[0], CERTIFICATE),
            key: file(pair[1], KEY),
            authority: folder.join(AUTHORITY),
            authority_key: folder.join(AUTHORITY_KEY),
            inside: inside.map(|(certificate, key)| [certificate, key]),
        })
    }

    /// Why the certificate is not replaced here, if it is not.
    pub(crate) fn is_fixed(&self) -> Option<String> {
        self.inside.is_none().then(|| {
            format!(
                "the configuration names a certificate outside its folder ({}): replace it there",
                self.certificate.display()
            )
        })
    }

    /// Looks at what is there.
    pub(crate) fn look(&self) -> Look {
        let certificate = match read(&self.certificate) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
            Ok(text) => certificate::read(&text).map(|chain| chain.into_iter().next()),
        };
        let authority = read(&self.authority).ok();
        let authority =
            authority.and_then(|text| certificate::read(&text).ok()?.into_iter().next());
        let signed = certificate.as_ref().ok().and_then(Option::as_ref);
        let is_own = signed
            .zip(authority.as_ref())
            .is_some_and(|(signed, authority)| {
                authority.is_made_here()
                    && signed.is_signed_in_the_name_of(authority)
                    && self.authority_key.is_file()
            });
        Look {
            certificate,
            authority,
            is_own,
        }
    }

    /// The certificate of the authority, as clients need it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn authority_text(&self) -> io::Result<Vec<u8>> {
        read(&self.authority)
    }

    /// Puts a certificate with its chain and a key in place of those that are there, if they belong together, can be
    /// read and have not expired.
    ///
    /// # Errors
    ///
    /// [`NotPut`].
    pub(crate) fn put(&self, certificate: &[u8], key: &[u8]) -> Result<(), NotPut> {
        certificate::check(certificate, key, now())?;
        self.replace(certificate, key, None)
    }

    /// Makes a certificate for these names, signed by the gateway's own authority, which is made too if there is none
    /// or another one is wanted.
    ///
    /// # Errors
    ///
    /// [`NotPut`].
    pub(crate) fn make(&self, names: &[Name], new_authority: bool) -> Result<(), NotPut> {
        let known = match new_authority {
            true => None,
            false => self.authority_pair()?,
        };
        let is_new = known.is_none();
        let authority = match known {
            Some(pair) => pair,
            None => {
                let machine = machine::own();
                let machine = machine.last().map_or("gateway", String::as_str);
                certificate::authority(machine, now())?
            }
        };
        let made = certificate::issue(&authority, names, now())?;
        let (text, key) = (made.certificate.as_bytes(), made.key.as_bytes());
        // What the daemon and clients would say of it.
        certificate::check(text, key, now())?;
        self.replace(text, key, is_new.then_some(&authority))
    }

    /// The authority, if both of its files are there.
    fn authority_pair(&self) -> Result<Option<Pair>, NotPut> {
        let text = |path: &Path| match read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(NotPut::System(error)),
            Ok(bytes) => Ok(String::from_utf8(bytes).ok()),
        };
        match (text(&self.authority)?, text(&self.authority_key)?) {
            (Some(certificate), Some(key)) => Ok(Some(Pair { certificate, key })),
            (Some(_), None) => {
                let text = format!("{} is not there", self.authority_key.display());
                Err(NotPut::NotMade(Failed::Authority(text)))
            }
            _ => Ok(None),
        }
    }

    fn replace(&self, text: &[u8], secret: &[u8], authority: Option<&Pair>) -> Result<(), NotPut> {
        let Some([certificate, key]) = &self.inside else {
            return Err(NotPut::Elsewhere(self.is_fixed().unwrap_or_default()));
        };
        let one = |place, bytes, mode| Replacement { place, bytes, mode };
        let mut all = Vec::new();
        if let Some(authority) = authority {
            all.push(one(AUTHORITY_KEY, authority.key.as_bytes(), SECRET));
            all.push(one(AUTHORITY, authority.certificate.as_bytes(), OPEN));
        }
        all.push(one(key, secret, SECRET));
        // The last one: who reads in between keeps what it has.
        all.push(one(certificate, text, OPEN));
        Ok(backup::replace(&self.config, &all)?)
    }
}

/// Whether a file may hold a certificate; with its bytes.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let about =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let size = fs::metadata(path).map_err(about)?.len();
    if size > FILE_MAX {
        return Err(about(io::Error::other("too large for a certificate")));
    }
    fs::read(path).map_err(about)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn configuration(name: &str, text: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("fieldgate-place-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("gateway.yaml");
        fs::write(&path, format!("version: 1\n{text}")).unwrap();
        path
    }

    fn names() -> Vec<Name> {
        vec!["plant7.local".parse().unwrap()]
    }

    #[test]
    fn a_certificate_is_made_looked_at_and_replaced() {
        let path = configuration("make", "console: {listen: {https: 443}}\n");
        let folder = path.parent().unwrap();
        let place = Place::of(&path).unwrap();
        assert!(matches!(place.look().certificate, Ok(None)));
        place.make(&names(), false).unwrap();
        let first = place.look();
        let leaf = first.certificate.unwrap().unwrap();
        assert!(first.is_own && leaf.names == ["plant7.local"]);
        let mode = |name: &str| {
            fs::metadata(folder.join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        for (name, want) in [
            (CERTIFICATE, OPEN),
            (KEY, SECRET),
            (AUTHORITY, OPEN),
            (AUTHORITY_KEY, SECRET),
        ] {
            assert_eq!(mode(name), want, "{name}");
        }
        // The same authority signs the next one.
        place.make(&names(), false).unwrap();
        let second = place.look();
        assert_eq!(first.authority, second.authority);
        assert_ne!(
            second.certificate.unwrap().unwrap().fingerprint,
            leaf.fingerprint
        );
        place.make(&names(), true).unwrap();
        assert_ne!(place.look().authority, second.authority);
        // One of another authority is not renewed here.
        let other = certificate::authority("other", now()).unwrap();
        let foreign = certificate::issue(&other, &names(), now()).unwrap();
        place
            .put(foreign.certificate.as_bytes(), foreign.key.as_bytes())
            .unwrap();
        assert!(!place.look().is_own);
        let wrong = place
            .put(foreign.certificate.as_bytes(), other.key.as_bytes())
            .unwrap_err();
        assert!(matches!(wrong, NotPut::Wrong(_)), "{wrong}");
        assert_eq!(fs::read_to_string(&place.key).unwrap(), foreign.key);
        fs::remove_file(folder.join(AUTHORITY_KEY)).unwrap();
        assert!(matches!(
            place.make(&names(), false),
            Err(NotPut::NotMade(_))
        ));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn files_are_replaced_where_the_configuration_names_them_and_nowhere_else() {
        let tls = "broker: {tls: {certificate: tls/a.pem, key: tls/a.key}}\n";
        let path = configuration("named", tls);
        let place = Place::of(&path).unwrap();
        place.make(&names(), false).unwrap();
        assert!(path.with_file_name("tls").join("a.key").is_file());
        fs::write(
            &path,
            "broker: {tls: {certificate: /nowhere/a.pem, key: a.key}}\n",
        )
        .unwrap();
        let place = Place::of(&path).unwrap();
        assert!(matches!(
            place.make(&names(), false),
            Err(NotPut::Elsewhere(_))
        ));
        assert!(place.is_fixed().unwrap().contains("/nowhere/a.pem"));
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
