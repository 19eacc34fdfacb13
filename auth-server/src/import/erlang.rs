//! Erlang terms as a file of them has them: atoms, texts, numbers, tuples, lists, each term with a full stop at its end.

use super::ImportError;
use std::{iter::Peekable, str::Chars};

/// How deep terms may stand in each other.
const MAX_DEPTH: usize = 32;

/// A term.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Term {
    Atom(String),
    Text(String),
    Number(i64),
    Tuple(Vec<Self>),
    List(Vec<Self>),
}

/// All terms of a file, each with the line on which it begins.
pub(super) fn parse(text: &str) -> Result<Vec<(usize, Term)>, ImportError> {
    let mut reader = Reader {
        chars: text.chars().peekable(),
        line: 1,
    };
    let mut terms = Vec::new();
    loop {
        reader.skip_blank();
        if reader.chars.peek().is_none() {
            return Ok(terms);
        }
        let line = reader.line;
        let term = reader.term(0)?;
        reader.skip_blank();
        reader.expect('.')?;
        terms.push((line, term));
    }
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.chars.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    fn wrong(&self, text: &str) -> ImportError {
        ImportError {
            place: format!("line {}", self.line),
            text: text.to_owned(),
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), ImportError> {
        match self.next() {
            Some(found) if found == wanted => Ok(()),
            Some(_) | None => Err(self.wrong(&format!("expected {wanted:?}"))),
        }
    }

    /// White space, and comments from `%` to the end of the line.
    fn skip_blank(&mut self) {
        while let Some(&c) = self.chars.peek() {
            if c == '%' {
                while self.chars.peek().is_some_and(|c| *c != '\n') {
                    self.next();
                }
            } else if c.is_whitespace() {
                self.next();
            } else {
                return;
            }
        }
    }

    fn term(&mut self, depth: usize) -> Result<Term, ImportError> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("terms stand too deep in each other"));
        }
        self.skip_blank();
        match self.chars.peek().copied() {
            Some('{') => Ok(Term::Tuple(self.elements('}', depth)?)),
            Some('[') => Ok(Term::List(self.elements(']', depth)?)),
            Some('"') => Ok(Term::Text(self.quoted('"')?)),
            Some('\'') => Ok(Term::Atom(self.quoted('\'')?)),
            Some('<') => {
                // A text as a binary: <<"...">>.
                self.expect('<')?;
                self.expect('<')?;
                let text = self.quoted('"')?;
                self.expect('>')?;
                self.expect('>')?;
                Ok(Term::Text(text))
            }
            Some(c) if c.is_ascii_digit() || c == '-' => self.number(),
            Some(c) if c.is_ascii_lowercase() => Ok(Term::Atom(self.word())),
            Some(_) | None => Err(self.wrong("expected a term")),
        }
    }

    fn elements(&mut self, end: char, depth: usize) -> Result<Vec<Term>, ImportError> {
        self.next();
        let mut elements = Vec::new();
        self.skip_blank();
        if self.chars.peek() == Some(&end) {
            self.next();
            return Ok(elements);
        }
        loop {
            elements.push(self.term(depth + 1)?);
            self.skip_blank();
            match self.next() {
                Some(',') => {}
                Some(found) if found == end => return Ok(elements),
                Some(_) | None => return Err(self.wrong(&format!("expected ',' or {end:?}"))),
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, ImportError> {
        self.expect(quote)?;
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(self.wrong("a text without an end")),
                Some(c) if c == quote => return Ok(text),
                Some('\\') => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some(c) => text.push(c),
                    None => return Err(self.wrong("a text without an end")),
                },
                Some(c) => text.push(c),
            }
        }
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(&c) = self.chars.peek() {
            if !c.is_ascii_alphanumeric() && c != '_' && c != '@' {
                break;
            }
            word.push(c);
            self.next();
        }
        word
    }

    fn number(&mut self) -> Result<Term, ImportError> {
        let mut digits = String::new();
        while let Some(&c) = self.chars.peek() {
            if !c.is_ascii_digit() && c != '-' {
                break;
            }
            digits.push(c);
            self.next();
        }
        let number = digits.parse().map_err(|_| self.wrong("not a number"))?;
        Ok(Term::Number(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_with_their_lines() {
        let text = "%% a comment\n{allow, all}.\n{deny, {user, \"a\\\"b\"},\n  'and', [<<\"x\">>, -7, []]}. % end\n";
        let terms = parse(text).unwrap();
        let atom = |name: &str| Term::Atom(name.to_owned());
        let text = |text: &str| Term::Text(text.to_owned());
        assert_eq!(
            terms,
            [
                (2, Term::Tuple(vec![atom("allow"), atom("all")])),
                (
                    3,
                    Term::Tuple(vec![
                        atom("deny"),
                        Term::Tuple(vec![atom("user"), text("a\"b")]),
                        atom("and"),
                        Term::List(vec![text("x"), Term::Number(-7), Term::List(vec![])]),
                    ])
                ),
            ]
        );
    }

    #[test]
    fn what_is_no_term_is_refused_with_its_line() {
        for (text, line) in [
            ("{allow, all}", 1),
            ("\n{allow", 2),
            ("{allow, \"x", 1),
            ("Variable.", 1),
            ("{a b}.", 1),
            (&"{".repeat(1000), 1),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.place, format!("line {line}"), "{text}");
        }
    }
}
