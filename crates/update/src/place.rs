//! Where one bundle is.

use std::fmt;
use std::fs::File;

use serde::{Serialize, Serializer};

use crate::store::Stored;

/// Where a bundle is: what a person calls it, and where RAUC finds it.
#[derive(Clone, Debug)]
pub struct Place {
    name: String,
    stored: Option<Stored>,
}

impl Place {
    /// A path or an address.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            stored: None,
        }
    }

    /// A bundle that is open for reading, whatever its name is by now.
    #[must_use]
    pub fn opened(name: impl Into<String>, file: File) -> Self {
        Self {
            name: name.into(),
            stored: Some(Stored::opened(file)),
        }
    }

    /// The same, of which `stored` is a copy that RAUC can read.
    pub(crate) fn stored_as(&self, stored: Stored) -> Self {
        Self {
            name: self.name.clone(),
            stored: Some(stored),
        }
    }

    /// The address, if that is all there is.
    pub(crate) fn address(&self) -> Option<&str> {
        (self.stored.is_none() && is_address(&self.name)).then_some(&self.name)
    }

    /// What RAUC is given.
    pub(crate) fn for_rauc(&self) -> String {
        let stored = self.stored.as_ref();
        stored.map_or_else(|| self.name.clone(), Stored::path)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

/// Whether `text` is an address, and not a path.
pub(crate) fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}
