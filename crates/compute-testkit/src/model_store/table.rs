//! A table that can forget what a transaction did, and that still shows older readers what it held.
//!
//! Rows live in one ordered map. Each change also notes what stood there before, under the number of
//! the transaction that made it. Undoing is putting the notes back; reading the past is reading the
//! notes first. Notes that nobody can need any more are dropped, so a change costs the same however
//! many rows there are.

use core::fmt;
use core::ops::RangeBounds;
use std::collections::BTreeMap;
use std::collections::btree_map;

/// The moment that is read: the present, or what was committed up to and with this transaction.
pub(super) type At = Option<u64>;

/// A table. Keys are found and walked in their order, so that nothing depends on chance.
pub(super) struct Table<K, V> {
    rows: BTreeMap<K, V>,
    /// Ascending by version.
    notes: Vec<Note<K, V>>,
}

/// What stood under a key before a transaction changed it.
struct Note<K, V> {
    version: u64,
    key: K,
    old: Option<V>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            notes: Vec::new(),
        }
    }
}

/// What all tables can do, whatever is in them.
pub(super) trait Journaled {
    /// Undoes everything that this transaction did.
    fn undo(&mut self, version: u64);
    /// Drops the notes of transactions up to this one.
    fn forget(&mut self, up_to: u64);
    /// Writes all committed rows in order.
    fn write_rows(&self, at: At, out: &mut dyn fmt::Write) -> fmt::Result;
}

impl<K: Ord + Clone, V> Table<K, V> {
    /// The row under a key.
    pub(super) fn get(&self, at: At, key: &K) -> Option<&V> {
        let noted = self.notes_after(at).iter().find(|note| note.key == *key);
        match noted {
            Some(note) => note.old.as_ref(),
            None => self.rows.get(key),
        }
    }

    /// Whether there is a row under a key.
    pub(super) fn has(&self, at: At, key: &K) -> bool {
        self.get(at, key).is_some()
    }

    /// The rows whose keys are in a range, ascending.
    pub(super) fn range<R>(&self, at: At, range: R) -> Rows<'_, K, V>
    where
        R: RangeBounds<K> + Clone,
    {
        let notes = self.notes_after(at);
        let live = self.rows.range(range.clone());
        if notes.is_empty() {
            return Rows::Present(live);
        }
        let mut past: BTreeMap<&K, &V> = live.collect();
        // Backwards, because the first note about a key knows what stood there earliest.
        for note in notes.iter().rev().filter(|note| range.contains(&note.key)) {
            match &note.old {
                Some(old) => past.insert(&note.key, old),
                None => past.remove(&note.key),
            };
        }
        Rows::Past(past.into_iter())
    }

    /// All rows, ascending.
    pub(super) fn iter(&self, at: At) -> Rows<'_, K, V> {
        self.range(at, ..)
    }

    /// Writes a row.
    pub(super) fn put(&mut self, version: u64, key: K, row: V) {
        let old = self.rows.insert(key.clone(), row);
        self.notes.push(Note { version, key, old });
    }

    /// Removes a row; whether there was one.
    pub(super) fn remove(&mut self, version: u64, key: &K) -> bool {
        let Some((key, old)) = self.rows.remove_entry(key) else {
            return false;
        };
        self.notes.push(Note {
            version,
            key,
            old: Some(old),
        });
        true
    }

    /// The keys that a transaction has changed, in the order of the changes.
    pub(super) fn changed_by(&self, version: u64) -> impl Iterator<Item = &K> {
        let notes = self.notes_after(Some(version.saturating_sub(1)));
        notes.iter().map(|note| &note.key)
    }

    /// The notes about what happened after a moment.
    fn notes_after(&self, at: At) -> &[Note<K, V>] {
        let Some(at) = at else { return &[] };
        let start = self.notes.partition_point(|note| note.version <= at);
        self.notes.get(start..).unwrap_or_default()
    }
}

impl<K, V> Journaled for Table<K, V>
where
    K: Ord + Clone + fmt::Debug,
    V: fmt::Debug,
{
    fn undo(&mut self, version: u64) {
        while let Some(note) = self.notes.pop_if(|note| note.version == version) {
            match note.old {
                Some(old) => self.rows.insert(note.key, old),
                None => self.rows.remove(&note.key),
            };
        }
    }

    fn forget(&mut self, up_to: u64) {
        let end = self.notes.partition_point(|note| note.version <= up_to);
        self.notes.drain(..end);
    }

    fn write_rows(&self, at: At, out: &mut dyn fmt::Write) -> fmt::Result {
        for (key, row) in self.iter(at) {
            writeln!(out, "{key:?} {row:?}")?;
        }
        Ok(())
    }
}

/// Rows in the order of their keys, from either end.
pub(super) enum Rows<'a, K, V> {
    /// As they are.
    Present(btree_map::Range<'a, K, V>),
    /// As they were.
    Past(btree_map::IntoIter<&'a K, &'a V>),
}

impl<'a, K, V> Iterator for Rows<'a, K, V> {
    type Item = (&'a K, &'a V);
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Present(rows) => rows.next(),
            Self::Past(rows) => rows.next(),
        }
    }
}

impl<K, V> DoubleEndedIterator for Rows<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::Present(rows) => rows.next_back(),
            Self::Past(rows) => rows.next_back(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(table: &Table<u8, &'static str>, at: At) -> Vec<(u8, &'static str)> {
        let rows: Vec<_> = table.iter(at).map(|(key, row)| (*key, *row)).collect();
        let mut backwards: Vec<_> = table
            .iter(at)
            .rev()
            .map(|(key, row)| (*key, *row))
            .collect();
        backwards.reverse();
        assert_eq!(rows, backwards);
        for (key, row) in &rows {
            assert_eq!(table.get(at, key), Some(row));
        }
        rows
    }

    /// Version 1 writes 1 and 2; version 2 changes 1 twice, removes 2 and adds 3.
    fn table() -> Table<u8, &'static str> {
        let mut table = Table::default();
        table.put(1, 1, "one");
        table.put(1, 2, "two");
        table.put(2, 1, "uno");
        table.put(2, 1, "eins");
        assert!(table.remove(2, &2));
        assert!(!table.remove(2, &2));
        table.put(2, 3, "three");
        table
    }

    #[test]
    fn each_moment_can_be_read() {
        let table = table();
        assert_eq!(rows(&table, Some(0)), []);
        assert_eq!(rows(&table, Some(1)), [(1, "one"), (2, "two")]);
        assert_eq!(rows(&table, Some(2)), [(1, "eins"), (3, "three")]);
        assert_eq!(rows(&table, None), rows(&table, Some(2)));
        assert_eq!(table.get(Some(1), &3), None);
        assert_eq!(table.range(Some(1), 2..).count(), 1);
        assert_eq!(
            table.changed_by(2).copied().collect::<Vec<_>>(),
            [1, 1, 2, 3]
        );
    }

    #[test]
    fn undoing_restores_what_was() {
        let mut table = table();
        table.undo(2);
        assert_eq!(rows(&table, None), [(1, "one"), (2, "two")]);
        table.undo(1);
        assert_eq!(rows(&table, None), []);
    }

    #[test]
    fn forgetting_changes_no_row() {
        let mut table = table();
        table.forget(1);
        assert_eq!(rows(&table, Some(1)), [(1, "one"), (2, "two")]);
        table.forget(2);
        assert_eq!(rows(&table, None), [(1, "eins"), (3, "three")]);
        assert_eq!(table.notes.len(), 0);
    }
}
