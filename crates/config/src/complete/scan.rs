//! Walks over a text that may be unfinished, and knows below which keys it is.

/// A step into a list.
pub(super) const ITEM: &str = "[]";
/// Levels that are told apart; the schema has fewer.
const DEPTH_MAX: usize = 32;

/// Where a text ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The keys that it is below.
    pub(super) path: Vec<String>,
    /// The key whose value it is; none where a key would stand.
    pub(super) key: Option<String>,
    /// Keys that stand beside it already.
    pub(super) siblings: Vec<String>,
    /// What is written of the word.
    pub(super) word: String,
}

/// A mapping or a list of the block style, open at the end.
#[derive(Debug)]
struct Block {
    indent: usize,
    key: String,
}

/// The same of the flow style.
#[derive(Debug, Default)]
struct Flow {
    is_list: bool,
    /// The key whose value comes.
    key: Option<String>,
    siblings: Vec<String>,
}

/// A walk.
#[derive(Debug, Default)]
pub(super) struct Scan {
    block: Vec<Block>,
    flow: Vec<Flow>,
    /// What came of a word since the last mark.
    word: String,
    quote: Option<char>,
    is_escaped: bool,
    is_comment: bool,
    /// The column of the key of this line, and that key.
    column: usize,
    key: Option<String>,
    /// All keys with where they stand.
    pub(super) keys: Vec<(Vec<String>, String)>,
}

impl Scan {
    /// Walks over a text.
    pub(super) fn of(text: &str) -> Self {
        let mut scan = Self::default();
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 && scan.quote.is_none() {
                scan.end_of_line();
            }
            scan.line(line.strip_suffix('\r').unwrap_or(line));
        }
        scan
    }

    fn end_of_line(&mut self) {
        self.is_comment = false;
        if self.flow.is_empty() {
            self.word.clear();
            self.key = None;
        }
    }

    fn line(&mut self, line: &str) {
        if self.quote.is_some() || !self.flow.is_empty() {
            return self.walk(line);
        }
        let mut rest = line.trim_start_matches([' ', '\u{feff}']);
        let mut column = line.len() - rest.len();
        self.begin(column, rest.starts_with('-'));
        while let Some(behind) = rest
            .strip_prefix('-')
            .filter(|behind| behind.starts_with(' '))
        {
            self.open(column, ITEM);
            let inner = behind.trim_start_matches(' ');
            column += rest.len() - inner.len();
            rest = inner;
        }
        self.column = column;
        self.walk(rest);
    }

    /// A line that begins at a column ends what is further in.
    fn begin(&mut self, column: usize, is_item: bool) {
        if let Some(at) = self
            .block
            .iter()
            .position(|open| match is_item && open.key != ITEM {
                // The items of a list may stand where its key does.
                true => open.indent > column,
                false => open.indent >= column,
            })
        {
            self.block.truncate(at);
        }
    }

    fn open(&mut self, indent: usize, key: &str) {
        if self.block.len() < DEPTH_MAX {
            let key = key.to_owned();
            self.block.push(Block { indent, key });
        }
    }

    fn walk(&mut self, text: &str) {
        let mut characters = text.chars().peekable();
        let mut before = ' ';
        while let Some(c) = characters.next() {
            if self.is_comment {
                return;
            }
            if let Some(quote) = self.quote {
                self.quoted(c, quote);
            } else {
                let next = characters.peek().copied();
                self.plain(c, before, next);
            }
            before = c;
        }
    }

    fn quoted(&mut self, c: char, quote: char) {
        if self.is_escaped {
            self.is_escaped = false;
        } else if quote == '"' && c == '\\' {
            self.is_escaped = true;
        } else if c == quote {
            self.quote = None;
            return;
        }
        self.word.push(c);
    }

    fn plain(&mut self, c: char, before: char, next: Option<char>) {
        let in_flow = !self.flow.is_empty();
        let is_first = self.word.trim().is_empty();
        match c {
            '#' if before == ' ' => self.is_comment = true,
            '"' | '\'' if is_first => {
                self.word.clear();
                self.quote = Some(c);
            }
            ':' if next.is_none_or(|next| next == ' ' || in_flow && "{[,]}\"'".contains(next)) => {
                self.colon()
            }
            '{' | '[' if is_first && self.flow.len() < DEPTH_MAX => {
                self.word.clear();
                let is_list = c == '[';
                self.flow.push(Flow {
                    is_list,
                    ..Flow::default()
                });
            }
            '}' | ']' if in_flow => {
                self.flow.pop();
                self.word.clear();
            }
            ',' if in_flow => {
                self.word.clear();
                if let Some(open) = self.flow.last_mut() {
                    open.key = None;
                }
            }
            _ => self.word.push(c),
        }
    }

    fn colon(&mut self) {
        let key = std::mem::take(&mut self.word).trim().to_owned();
        let path = self.path();
        self.keys.push((path, key.clone()));
        if let Some(open) = self.flow.last_mut() {
            open.siblings.push(key.clone());
            open.key = Some(key);
            return;
        }
        if self.key.is_none() {
            self.key = Some(key.clone());
            self.open(self.column, &key);
        }
    }

    /// The keys that the next word is below.
    fn path(&self) -> Vec<String> {
        let mut path: Vec<String> = self.block.iter().map(|open| open.key.clone()).collect();
        for (index, open) in self.flow.iter().enumerate() {
            let is_last = index + 1 == self.flow.len();
            if open.is_list {
                path.push(ITEM.to_owned());
            } else if !is_last {
                path.extend(open.key.clone());
            }
        }
        path
    }

    /// Where the text ends; none in a comment.
    pub(super) fn place(&self) -> Option<Place> {
        if self.is_comment {
            return None;
        }
        let mut path = self.path();
        let (key, siblings) = match self.flow.last() {
            Some(open) => (open.key.clone(), open.siblings.clone()),
            None => {
                let key = self.key.clone().and_then(|_| path.pop());
                let own = self.keys.iter().filter(|(other, _)| *other == path);
                (key, own.map(|(_, key)| key.clone()).collect())
            }
        };
        Some(Place {
            path,
            key,
            siblings,
            word: self.word.trim_start().to_owned(),
        })
    }
}
