//! The end of a room's log, kept in memory for those who come back: a crowd that lost the same server missed the same.

use std::collections::VecDeque;

use axum::extract::ws::Utf8Bytes;

use crate::protocol::Seq;

/// How much of a log is kept: events and bytes.
const EVENTS: usize = 256;
const BYTES: usize = 64 * 1024;

/// All that a log says after one place up to another, as it goes over the wire.
#[derive(Debug, Default)]
pub(super) struct Tail {
    events: VecDeque<(Seq, Utf8Bytes)>,
    bytes: usize,
    after: Seq,
    to: Seq,
}

impl Tail {
    /// Whether it could hold what there is after `after` up to `to`.
    pub(super) fn could_hold(after: Seq, to: Seq) -> bool {
        usize::try_from(to.0 - after.0).is_ok_and(|events| events <= EVENTS)
    }

    /// The log has gone on by the event at `seq`. Where that is not the next one, what lies between is not known, and the tail
    /// begins anew.
    pub(super) fn push(&mut self, seq: Seq, json: &Utf8Bytes) {
        // Read from the log before it was handed on.
        if seq <= self.to {
            return;
        }
        if seq != self.to.next() {
            *self = Self { after: Seq(seq.0 - 1), ..Self::default() };
        }
        self.to = seq;
        self.bytes += json.len();
        self.events.push_back((seq, json.clone()));
        self.trim();
    }

    /// What was read from the log: all that it says after `after` up to `to`, as of a moment after `to`. It takes the place of
    /// what is here if it goes further, or as far from an earlier place. So nothing that was handed on before that moment is
    /// missing from it, and what is handed on later comes behind it.
    pub(super) fn adopt(&mut self, after: Seq, to: Seq, events: Vec<(Seq, Utf8Bytes)>) {
        if to > self.to || (to == self.to && after < self.after) {
            let bytes = events.iter().map(|(_, json)| json.len()).sum();
            *self = Self { events: events.into(), bytes, after, to };
            self.trim();
        }
    }

    /// The events after `after` up to `to`, if they are all here.
    pub(super) fn between(&self, after: Seq, to: Seq) -> Option<Vec<Utf8Bytes>> {
        let within = self.events.iter().filter(|(seq, _)| *seq > after && *seq <= to);
        (self.after <= after && to <= self.to).then(|| within.map(|(_, json)| json.clone()).collect())
    }

    fn trim(&mut self) {
        while self.events.len() > EVENTS || self.bytes > BYTES {
            let Some((seq, oldest)) = self.events.pop_front() else { break };
            self.bytes -= oldest.len();
            self.after = seq;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(seq: i64) -> Utf8Bytes {
        format!("{{{seq}}}").into()
    }

    fn events(seqs: impl IntoIterator<Item = i64>) -> Vec<(Seq, Utf8Bytes)> {
        seqs.into_iter().map(|seq| (Seq(seq), json(seq))).collect()
    }

    fn pushed(seqs: impl IntoIterator<Item = i64>) -> Tail {
        let mut tail = Tail::default();
        seqs.into_iter().for_each(|seq| tail.push(Seq(seq), &json(seq)));
        tail
    }

    /// What the tail has after one place up to another.
    fn between(tail: &Tail, after: i64, to: i64) -> Option<Vec<Utf8Bytes>> {
        tail.between(Seq(after), Seq(to))
    }

    #[test]
    fn it_gives_all_that_was_asked_for_or_nothing() {
        let tail = pushed(5..=9);
        assert_eq!(between(&tail, 4, 9), Some((5..=9).map(json).collect()));
        assert_eq!(between(&tail, 6, 8), Some(vec![json(7), json(8)]));
        assert_eq!(between(&tail, 3, 9), None);
        assert_eq!(between(&tail, 6, 10), None);
        assert_eq!(between(&Tail::default(), 0, 1), None);
    }

    #[test]
    fn behind_a_hole_it_begins_anew() {
        let tail = pushed([5, 6, 9, 10]);
        assert_eq!(between(&tail, 8, 10), Some(vec![json(9), json(10)]));
        assert_eq!(between(&tail, 5, 10), None);
    }

    #[test]
    fn it_is_bounded_in_events_and_in_bytes() {
        let tail = pushed(1..=1000);
        assert_eq!(between(&tail, 1000 - 256, 1000).map(|events| events.len()), Some(256));
        assert_eq!(between(&tail, 1000 - 257, 1000), None);
        let mut tail = Tail::default();
        let long = Utf8Bytes::from("x".repeat(40 * 1024));
        tail.adopt(Seq(0), Seq(3), (1..=3).map(|seq| (Seq(seq), long.clone())).collect());
        assert_eq!(between(&tail, 1, 3), None);
        assert_eq!(between(&tail, 2, 3), Some(vec![long]));
    }

    #[test]
    fn what_was_read_counts_where_it_says_more() {
        // The message at 6 was deleted: nothing is said of it.
        let mut tail = Tail::default();
        tail.adopt(Seq(3), Seq(9), events([4, 5, 7, 8, 9]));
        assert_eq!(between(&tail, 5, 9), Some([7, 8, 9].map(json).into()));
        tail.adopt(Seq(6), Seq(9), events(7..=9));
        assert!(between(&tail, 3, 9).is_some(), "what says less changes nothing");
        tail.adopt(Seq(1), Seq(8), events(2..=8));
        assert!(between(&tail, 3, 9).is_some(), "nor does what ends before it");
        tail.adopt(Seq(1), Seq(9), events(2..=9));
        assert!(between(&tail, 1, 9).is_some(), "what begins before it does");
    }

    #[test]
    fn what_was_read_before_it_was_handed_on_is_there_once() {
        let mut tail = pushed(5..=7);
        tail.adopt(Seq(3), Seq(9), events(4..=9));
        for seq in 8..=10 {
            tail.push(Seq(seq), &json(seq));
        }
        assert_eq!(between(&tail, 3, 10), Some((4..=10).map(json).collect()));
    }
}
