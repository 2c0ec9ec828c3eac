//! Files, and what is code in them.

use std::fmt;

/// A source file as the rules see it. Lines are the same in all three texts.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
    /// Without comments.
    pub(crate) code: String,
    /// Without comments and literals.
    pub(crate) bare: String,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into(), code: blank(text, false), bare: blank(text, true) }
    }

    /// Where the file stands below `src`; empty for `src/lib.rs` and for what is not in `src`.
    pub(crate) fn layer(&self) -> &str {
        let place = self.path.strip_prefix("src/").unwrap_or_default();
        let layer = place.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        if layer == "lib" { "" } else { layer }
    }

    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.starts_with("tests/")
    }

    /// How many `super` lead to the crate's root.
    pub(crate) fn depth(&self) -> usize {
        self.path.split('/').count() - if self.path.ends_with("/mod.rs") { 2 } else { 1 }
    }

    pub(crate) fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into() }
    }
}

/// A broken rule.
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Puts spaces in the place of comments, and of literals if `literals`.
pub(crate) fn blank(text: &str, literals: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, blanked) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), true),
            '/' if rest.starts_with("/*") => (block_comment(rest), true),
            '"' => (string(rest), literals),
            '\'' => character(rest).map_or((1, false), |length| (length, literals)),
            _ if is_word(first) => word(rest).map_or_else(|raw| (raw, literals), |length| (length, false)),
            _ => (first.len_utf8(), false),
        };
        let (piece, behind) = rest.split_at(length);
        if blanked {
            out.extend(piece.chars().map(|c| if c == '\n' { c } else { ' ' }));
        } else {
            out.push_str(piece);
        }
        rest = behind;
    }
    out
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    for (at, _) in text.char_indices() {
        if text[at..].starts_with("/*") {
            depth += 1;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            if depth == 0 {
                return at + 2;
            }
        }
    }
    text.len()
}

/// The length of a string literal with escapes.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal; `None`: a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next();
        return chars.find(|(_, c)| *c == '\'').map(|(at, _)| at + 1);
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1)
}

/// The length of a word; `Err`: of the raw string that it begins.
fn word(text: &str) -> Result<usize, usize> {
    let length = text.find(|c| !is_word(c)).unwrap_or(text.len());
    if matches!(&text[..length], "r" | "br" | "cr") {
        let hashes = text[length..].bytes().take_while(|b| *b == b'#').count();
        let inside = length + hashes + 1;
        if text[length + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            return Err(text[inside..].find(&end).map_or(text.len(), |at| inside + at + end.len()));
        }
    }
    Ok(length)
}

pub(crate) struct Token<'t> {
    pub(crate) line: usize,
    pub(crate) text: &'t str,
}

/// Words, `::`, and single characters of a text without comments and literals.
pub(crate) fn tokens(bare: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (index, mut rest) in bare.lines().enumerate() {
        while let Some(first) = rest.chars().next() {
            let length = match first {
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            let (text, behind) = rest.split_at(length);
            if !first.is_whitespace() {
                tokens.push(Token { line: index + 1, text });
            }
            rest = behind;
        }
    }
    tokens
}

/// All paths of a file with their lines, those in braces written out: `a::{b, c::d}` gives `a::b` and `a::c::d`.
pub(crate) fn paths(file: &File) -> Vec<(usize, String)> {
    let tokens = tokens(&file.bare);
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        at = read_path(&tokens, at, "", &mut found);
    }
    found
}

/// Reads the path that begins at `at`, or passes one token; gives where to go on.
fn read_path(tokens: &[Token<'_>], mut at: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let is_name = |text: &str| text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let in_braces = !prefix.is_empty();
    match text(at) {
        "as" if in_braces => return at + 2,
        "*" if in_braces => {}
        name if is_name(name) => {}
        _ => return at + 1,
    }
    let line = tokens[at].line;
    let mut path = format!("{prefix}{}", text(at));
    at += 1;
    while text(at) == "::" {
        match text(at + 1) {
            "{" => {
                at += 2;
                while at < tokens.len() && text(at) != "}" {
                    at = read_path(tokens, at, &format!("{path}::"), found);
                }
                return at + 1;
            }
            name if name == "*" || is_name(name) => path = format!("{path}::{name}"),
            _ => break,
        }
        at += 2;
    }
    found.push((line, path.trim_end_matches("::self").to_owned()));
    at
}

/// Whether `path` is `name` or stands below it.
pub(crate) fn is_below(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
