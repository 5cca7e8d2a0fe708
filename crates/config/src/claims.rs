//! What only one device or bus can have, compared over all bridges.

use std::collections::BTreeMap;

use fieldgate_bridge::Claim;

use super::report::Report;
use super::source::File;
use crate::yaml::Mark;

/// All claims of the main file.
pub struct Claims<'f> {
    file: &'f File,
    made: Vec<Made>,
}

struct Made {
    mark: Mark,
    path: String,
    claim: Claim,
}

impl<'f> Claims<'f> {
    pub fn new(file: &'f File) -> Self {
        Self {
            file,
            made: Vec::new(),
        }
    }

    /// Adds those of a device or a bus, which stands at `owner`.
    pub fn add(&mut self, owner: [&str; 2], claims: Vec<Claim>) {
        for claim in claims {
            let keys = claim.path.iter().map(String::as_str);
            let path: Vec<&str> = owner.into_iter().chain(keys).collect();
            self.made.push(Made {
                mark: self.file.root.mark_of(&path),
                path: path.join("."),
                claim,
            });
        }
    }

    /// Reports what is claimed twice, at the later place.
    pub fn compare(mut self, report: &mut Report) {
        self.made.sort_by_key(|made| made.mark);
        let mut before: BTreeMap<(&str, &str), Vec<&Made>> = BTreeMap::new();
        for made in &self.made {
            let Made { mark, path, claim } = made;
            let same = before.entry((claim.what, &claim.name)).or_default();
            match same.iter().find(|other| other.claim.collides(claim)) {
                Some(other) => {
                    let message = format!(
                        "this {} is already in use by {} at line {}",
                        claim.what, other.path, other.mark.line
                    );
                    report.add(&self.file.name, Some(*mark), path, message);
                }
                None => same.push(made),
            }
        }
    }
}
