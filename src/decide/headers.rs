//! Headers of one answer, in their order.
//!
//! Their values lie one after the other in one text that needs no memory of its own while it is
//! short, so the headers that every answer carries cost no allocation.

use std::fmt;

use smallvec::SmallVec;

/// Names in lower case, and values of printable ASCII.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers<'s> {
    /// Each with where its value begins.
    names: SmallVec<[(&'s str, usize); 6]>,
    values: SmallVec<[u8; 480]>,
}

impl<'s> Headers<'s> {
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&'s str, &str)> + Clone {
        (0..self.names.len()).filter_map(|place| {
            let (name, start) = *self.names.get(place)?;
            let end = self.names.get(place + 1).map_or(self.values.len(), |(_, next)| *next);
            let value = self.values.get(start..end)?;
            Some((name, std::str::from_utf8(value).unwrap_or_default()))
        })
    }

    /// Adds a header. Its value is what is written until the next one.
    pub fn begin(&mut self, name: &'s str) -> &mut Self {
        self.names.push((name, self.values.len()));
        self
    }

    pub fn text(&mut self, text: &str) {
        self.values.extend_from_slice(text.as_bytes());
    }

    /// A number that is all of the value, or a part of it.
    pub fn number(&mut self, number: u64) {
        self.text(itoa::Buffer::new().format(number));
    }
}

impl fmt::Write for Headers<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn each_name_has_what_was_written_after_it() {
        let mut headers = Headers::default();
        assert!(headers.is_empty() && headers.iter().next().is_none());
        headers.begin("empty");
        headers.begin("limit").number(u64::MAX);
        let list = headers.begin("list");
        list.text("a");
        write!(list, ";w={}", 60).unwrap();
        list.number(0);
        headers.begin("long").text(&"x".repeat(1_000));
        let told: Vec<_> = headers.iter().collect();
        let long = "x".repeat(1_000);
        let expected = [
            ("empty", ""),
            ("limit", "18446744073709551615"),
            ("list", "a;w=600"),
            ("long", long.as_str()),
        ];
        assert_eq!(told, expected);
    }
}
