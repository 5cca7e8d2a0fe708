//! What became of each file, for a person who puts the card into a PC. Pure but for the log.

use crate::journal::ANSWER;
use fieldgate_config::Report;

/// What became of one file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Became {
    /// With what is to be said about it.
    Taken(Vec<String>),
    TakenBefore,
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
                 \nMend the files, put the card back, and switch the gateway on again.\n"
            ));
        }
        text
    }

    /// The same for the journal; the mistakes are said by whoever ends the program.
    pub(crate) fn log(&self) {
        for (name, became) in &self.0 {
            match became {
                Became::Taken(told) => {
                    log::info!("{name}: taken");
                    for line in told {
                        log::info!(target: ANSWER, "{name}: {line}");
                    }
                }
                Became::TakenBefore => log::info!("{name}: as it was taken before"),
                Became::Refused => log::error!("{name}: refused, nothing of it was taken"),
            }
        }
    }
}
