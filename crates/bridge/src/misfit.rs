//! What a bridge says of a configuration that it has read: what is wrong, and what a device needs alone.

/// Parts of a device that do not fit each other, with their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The keys that lead to it, from the device on.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// If it is an unknown name: that name, and those that there are.
    pub known: Option<(String, Vec<String>)>,
}

impl Misfit {
    /// A mistake at `path`, from the device on.
    pub fn new(path: &[&str], message: impl Into<String>) -> Self {
        Self {
            path: keys(path),
            message: message.into(),
            known: None,
        }
    }

    /// A name of `what` at `path` that is not among those `known`.
    pub fn unknown(path: &[&str], what: &str, name: &str, known: Vec<String>) -> Self {
        Self {
            known: Some((name.to_owned(), known)),
            ..Self::new(path, format!("unknown {what} \"{}\"", name.escape_debug()))
        }
    }
}

/// Something that only one device or bus can have, of whichever bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The keys that lead to it, from the device or bus on.
    pub path: Vec<String>,
    /// What it is, in a word: `port`.
    pub what: &'static str,
    /// Its name among those, such as a path.
    pub name: String,
    /// Where the name counts, such as the label of a chip. Absent: wherever it is found.
    pub within: Option<String>,
}

impl Claim {
    /// A claim to a name that counts everywhere.
    pub fn new(path: &[&str], what: &'static str, name: impl Into<String>) -> Self {
        Self {
            path: keys(path),
            what,
            name: name.into(),
            within: None,
        }
    }

    /// Whether both can mean the same.
    pub fn collides(&self, other: &Self) -> bool {
        let is_apart =
            matches!((&self.within, &other.within), (Some(own), Some(other)) if own != other);
        self.what == other.what && self.name == other.name && !is_apart
    }
}

fn keys(path: &[&str]) -> Vec<String> {
    path.iter().map(|key| (*key).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_collide_where_one_name_can_mean_one_thing() {
        let claim = |what, name: &str, within: Option<&str>| Claim {
            within: within.map(str::to_owned),
            ..Claim::new(&["key"], what, name)
        };
        let line = claim("line", "17", Some("soc"));
        for (other, want) in [
            (claim("line", "17", Some("soc")), true),
            (claim("line", "17", None), true),
            (claim("line", "17", Some("expander")), false),
            (claim("line", "18", Some("soc")), false),
            (claim("channel", "17", Some("soc")), false),
        ] {
            assert_eq!(line.collides(&other), want, "{other:?}");
            assert_eq!(other.collides(&line), want, "{other:?}");
        }
    }
}
