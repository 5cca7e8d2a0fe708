//! What became of each file, for a person who puts the card into a PC. Pure.

use fieldgate_config::Report;

/// What became of one file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Became {
    /// With what is to be said about it.
    Taken(Vec<String>),
    /// The same, and other items were refused.
    TakenInPart(Vec<String>),
    TakenBefore,
    /// Items were refused, and nothing is new in the others.
    RefusedInPart,
    Refused,
}

/// All files of a run.
#[derive(Debug, Default)]
pub(crate) struct Story(Vec<(&'static str, Became)>);

impl Story {
    pub(crate) fn add(&mut self, name: &'static str, became: Became) {
        self.0.push((name, became));
    }

    /// Whether nothing happened.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut all = self.0.iter();
        all.all(|(_, became)| *became == Became::TakenBefore)
    }

    /// The report. It has no time: the board may not know it yet.
    pub(crate) fn text(&self, refused: &Report) -> String {
        let mut text = "What fieldgate made of this folder when it started last.\n".to_owned();
        for (name, became) in &self.0 {
            match became {
                Became::Taken(told) => {
                    text.push_str(&format!("\n{name}: taken.\n"));
                    for line in told {
                        text.push_str(&format!("  - {line}\n"));
                    }
                }
                Became::TakenInPart(told) => {
                    text.push_str(&format!(
                        "\n{name}: taken IN PART. Of what has mistakes, nothing was taken.\n"
                    ));
                    for line in told {
                        text.push_str(&format!("  - {line}\n"));
                    }
                }
                Became::RefusedInPart => text.push_str(&format!(
                    "\n{name}: what has mistakes is REFUSED. The rest is as it was taken before.\n"
                )),
                Became::TakenBefore => {
                    text.push_str(&format!("\n{name}: as it was taken before.\n"))
                }
                Became::Refused => text.push_str(&format!(
                    "\n{name}: REFUSED. Nothing of it was taken, and what was there before holds.\n"
                )),
            }
        }
        if !refused.is_empty() {
            text.push_str(&format!(
                "\nMistakes, each as file:line:column: key: what is wrong\n{refused}\n\
                 \nCorrect the files, put the card back, and switch the gateway on again.\n"
            ));
        }
        text
    }

    /// The same for the journal, without the mistakes.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for (name, became) in &self.0 {
            let mut add = |is_refused, is_detail, text: String| {
                lines.push(Line {
                    is_refused,
                    is_detail,
                    text,
                });
            };
            match became {
                Became::Taken(told) => {
                    add(false, false, format!("{name}: taken"));
                    told.iter()
                        .for_each(|line| add(false, true, format!("{name}: {line}")));
                }
                Became::TakenInPart(told) => {
                    let text = format!("{name}: taken in part; what has mistakes is refused");
                    add(true, false, text);
                    told.iter()
                        .for_each(|line| add(false, true, format!("{name}: {line}")));
                }
                Became::RefusedInPart => {
                    let text = format!(
                        "{name}: what has mistakes is refused; the rest is as it was taken before"
                    );
                    add(true, false, text);
                }
                Became::TakenBefore => add(false, false, format!("{name}: as it was taken before")),
                Became::Refused => {
                    add(
                        true,
                        false,
                        format!("{name}: refused, nothing of it was taken"),
                    );
                }
            }
        }
        lines
    }
}

/// A line for the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// It says that a file was refused.
    pub is_refused: bool,
    /// It says more about the line before.
    pub is_detail: bool,
    /// The text.
    pub text: String,
}
