//! Whether a line is alive, by the clock: when its server is asked whether it is there, and when it is gone.
//!
//! The clock is the wall's, by which one can tell that the machine slept; but it may be set back. What was noted at a moment that is
//! yet to come was noted before that, and nobody knows how long ago: for long enough. Moments are in milliseconds since 1970.

/// The server closes a socket from which nothing has come for 75 s.
const PING_EVERY: u64 = 25_000;
/// A server that has not answered for so long is gone.
pub const PONG_WITHIN: u64 = 10_000;
/// The same where there is reason to think so: after a sleep, in a page that is looked at again, where another tab has heard more.
pub const PONG_SOON: u64 = 3_000;
/// A message that is not answered for so long makes one ask whether the server is there.
const ANSWER_WITHIN: u64 = 5_000;
/// A server that was asked within that time need not be asked again where there is reason to think that it is gone.
const ASKED_LATELY: u64 = 5_000;
/// Timers that are so late stood still: the machine slept, or the page.
const SLEPT: u64 = 15_000;
/// From asking for a socket to the server's welcome.
const WELCOME_WITHIN: u64 = 15_000;

/// Whether `then` is at least `wait` ago, or was before the clock was set back.
#[must_use]
pub fn is_over(now: u64, then: u64, wait: u64) -> bool {
    now < then || now - then >= wait
}

/// How far a socket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There is none.
    None,
    /// It was asked for, and the server has not welcomed it.
    Opening,
    /// The server has welcomed it.
    Ready,
}

/// What a look at the line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Fine,
    /// Ask the server whether it is there.
    Ask,
    /// Time went by unnoticed: the line may have died meanwhile without a word, and a wait for the next try have stood still.
    Slept,
    /// The line is gone.
    Dead,
}

/// What has been noted of one line.
#[derive(Debug, Default)]
pub struct Watch {
    /// When the socket was asked for.
    opened: u64,
    /// When its server was asked last whether it is there.
    asked: u64,
    /// How long the answer to that may take, in milliseconds.
    patience: u64,
    /// How often it was asked on this line, and how often it has answered.
    pings: u32,
    pongs: u32,
    /// Whether nothing has been heard since then.
    unanswered: bool,
    /// When a message was sent last, if since then nothing was heard, and the server not asked.
    sent: Option<u64>,
    /// When the line was looked at last.
    looked: u64,
    /// The clock was set back since the server was asked last.
    set_back: bool,
}

impl Watch {
    /// From now on it is looked at.
    pub fn begin(&mut self, now: u64) {
        self.looked = now;
    }

    /// A socket is asked for.
    pub fn opening(&mut self, now: u64) {
        (self.opened, self.asked, self.set_back) = (now, now, false);
        (self.pings, self.pongs) = (0, 0);
        self.heard();
    }

    /// Something was heard on it.
    pub fn heard(&mut self) {
        self.unanswered = false;
        self.sent = None;
    }

    /// A message was sent on it.
    pub fn sent(&mut self, now: u64) {
        self.sent = Some(now);
    }

    /// The server was asked whether it is there, and has `patience` milliseconds to answer, or what is left of them where it has not
    /// answered yet: the how manieth time it was.
    pub fn asked(&mut self, now: u64, patience: u64) -> u32 {
        self.pings += 1;
        let waits = self.unanswered && !self.set_back && self.asked <= now && self.asked + self.patience <= now + patience;
        if !waits {
            (self.asked, self.patience, self.unanswered) = (now, patience, true);
        }
        (self.sent, self.set_back) = (None, false);
        self.pings
    }

    /// The server has answered: the how manieth time it was. It answers after all that it had to tell by itself when it was asked.
    pub fn answered(&mut self) -> u32 {
        self.pongs += 1;
        self.pongs
    }

    /// Whether to ask the server, where there is reason to think that it is gone.
    #[must_use]
    pub fn is_silent(&self, now: u64) -> bool {
        self.set_back || is_over(now, self.asked, ASKED_LATELY)
    }

    /// A look at the line, now and then: every few seconds, and when an answer is due.
    pub fn look(&mut self, now: u64, stage: Stage) -> Look {
        let slept = is_over(now, self.looked, SLEPT);
        self.set_back |= now < self.looked;
        self.looked = now;
        // The wait for a welcome begins again; an answer is asked for again.
        self.opened = self.opened.min(now);
        let unanswered = self.unanswered && self.asked <= now && is_over(now, self.asked, self.patience);
        let doubtful = self.sent.is_some_and(|sent| is_over(now, sent, ANSWER_WITHIN)) || is_over(now, self.asked, PING_EVERY);
        match stage {
            Stage::Ready if unanswered => Look::Dead,
            Stage::Opening if is_over(now, self.opened, WELCOME_WITHIN) => Look::Dead,
            _ if slept => Look::Slept,
            Stage::Ready if doubtful => Look::Ask,
            _ => Look::Fine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = 3_600_000;

    /// A line that has just been welcomed.
    fn ready(now: u64) -> Watch {
        let mut watch = Watch::default();
        watch.begin(now);
        watch.opening(now);
        watch.heard();
        watch
    }

    #[test]
    fn a_server_is_asked_now_and_then_and_gone_when_it_does_not_answer() {
        let mut watch = ready(HOUR);
        for after in [5_000, 10_000, 15_000, 20_000] {
            assert_eq!(watch.look(HOUR + after, Stage::Ready), Look::Fine);
        }
        assert_eq!(watch.look(HOUR + 25_000, Stage::Ready), Look::Ask);
        watch.asked(HOUR + 25_000, PONG_WITHIN);
        assert_eq!(watch.look(HOUR + 30_000, Stage::Ready), Look::Fine);
        assert_eq!(watch.look(HOUR + 35_000, Stage::Ready), Look::Dead);
        watch.heard();
        assert_eq!(watch.look(HOUR + 35_100, Stage::Ready), Look::Fine);
    }

    #[test]
    fn who_asks_again_and_again_finds_out_no_later() {
        let mut watch = ready(HOUR);
        for after in [0, 1_000, 2_000] {
            watch.asked(HOUR + after, PONG_SOON);
            assert_eq!(watch.look(HOUR + after, Stage::Ready), Look::Fine);
        }
        assert_eq!(watch.look(HOUR + PONG_SOON, Stage::Ready), Look::Dead);
        // With less patience than before.
        let mut watch = ready(HOUR);
        watch.asked(HOUR, PONG_WITHIN);
        watch.asked(HOUR + 1_000, PONG_SOON);
        assert_eq!(watch.look(HOUR + 1_000 + PONG_SOON, Stage::Ready), Look::Dead);
        // An answer to the first is a sign of life.
        let mut watch = ready(HOUR);
        watch.asked(HOUR, PONG_SOON);
        watch.heard();
        watch.asked(HOUR + 2_000, PONG_SOON);
        assert_eq!(watch.look(HOUR + PONG_SOON, Stage::Ready), Look::Fine);
    }

    #[test]
    fn answers_are_counted_on_each_line_anew() {
        let mut watch = ready(HOUR);
        assert_eq!([watch.asked(HOUR, PONG_SOON), watch.asked(HOUR, PONG_SOON)], [1, 2]);
        assert_eq!([watch.answered(), watch.answered()], [1, 2]);
        watch.asked(HOUR, PONG_SOON);
        watch.opening(HOUR);
        assert_eq!((watch.asked(HOUR, PONG_SOON), watch.answered()), (1, 1));
    }

    #[test]
    fn a_message_that_is_not_answered_makes_one_ask() {
        let mut watch = ready(HOUR);
        watch.sent(HOUR + 1_000);
        assert_eq!(watch.look(HOUR + 5_000, Stage::Ready), Look::Fine);
        assert_eq!(watch.look(HOUR + 6_000, Stage::Ready), Look::Ask);
        watch.asked(HOUR + 6_000, PONG_WITHIN);
        assert_eq!(watch.look(HOUR + 11_000, Stage::Ready), Look::Fine, "it has been asked");
        watch.heard();
        watch.sent(HOUR + 11_000);
        watch.heard();
        assert_eq!(watch.look(HOUR + 17_000, Stage::Ready), Look::Fine);
    }

    #[test]
    fn a_welcome_is_not_waited_for_for_ever() {
        let mut watch = ready(HOUR);
        assert_eq!(watch.look(HOUR + 10_000, Stage::Opening), Look::Fine);
        assert_eq!(watch.look(HOUR + 15_000, Stage::Opening), Look::Dead);
        assert_eq!(watch.look(HOUR + 20_000, Stage::None), Look::Fine, "there is nothing to be welcomed");
        // The clock is set back while one waits.
        watch.opening(HOUR + 20_000);
        assert_eq!(watch.look(1_000, Stage::Opening), Look::Slept);
        assert_eq!(watch.look(11_000, Stage::Opening), Look::Fine);
        assert_eq!(watch.look(16_000, Stage::Opening), Look::Dead);
    }

    #[test]
    fn time_that_went_by_unnoticed_is_noticed() {
        let mut watch = ready(HOUR);
        assert_eq!(watch.look(HOUR + 5_000, Stage::Ready), Look::Fine);
        assert_eq!(watch.look(2 * HOUR, Stage::Ready), Look::Slept);
        assert!(watch.is_silent(2 * HOUR));
        watch.asked(2 * HOUR, PONG_SOON);
        assert!(!watch.is_silent(2 * HOUR + 100), "it is asked once");
        assert_eq!(watch.look(2 * HOUR + PONG_SOON, Stage::Ready), Look::Dead);
    }

    #[test]
    fn a_clock_that_is_set_back_hides_no_dead_line() {
        let mut watch = ready(2 * HOUR);
        watch.heard();
        assert_eq!(watch.look(HOUR, Stage::Ready), Look::Slept);
        assert!(watch.is_silent(HOUR), "it was asked at a moment that is yet to come");
        watch.asked(HOUR, PONG_SOON);
        assert_eq!(watch.look(HOUR + PONG_SOON, Stage::Ready), Look::Dead);
        // While an answer is waited for: the wait begins again, and ends.
        let mut watch = ready(2 * HOUR);
        watch.asked(2 * HOUR, PONG_WITHIN);
        assert_eq!(watch.look(HOUR, Stage::Ready), Look::Slept);
        assert!(watch.is_silent(HOUR));
        watch.asked(HOUR, PONG_SOON);
        assert_eq!(watch.look(HOUR + PONG_SOON, Stage::Ready), Look::Dead);
        // One that is alive answers.
        let mut watch = ready(2 * HOUR);
        assert_eq!(watch.look(HOUR, Stage::Ready), Look::Slept);
        watch.asked(HOUR, PONG_SOON);
        watch.heard();
        assert_eq!(watch.look(HOUR + PONG_SOON, Stage::Ready), Look::Fine);
        // To just after it was opened, which was long ago.
        let mut watch = ready(HOUR);
        assert_eq!(watch.look(HOUR + 20_000, Stage::Ready), Look::Slept);
        assert_eq!(watch.look(HOUR + 1_000, Stage::Ready), Look::Slept);
        assert!(watch.is_silent(HOUR + 1_000));
        // By so little that the look before is not yet to come, but the question is.
        let mut watch = ready(HOUR);
        watch.asked(HOUR + 4_900, PONG_WITHIN);
        assert_eq!(watch.look(HOUR + 100, Stage::Ready), Look::Ask);
    }

    proptest! {
        /// As a page looks: every five seconds, and when an answer is due.
        #[test]
        fn a_dead_line_is_found_out_in_time_though_the_clock_is_set(
            set_after in 0_u64..60_000, to in 0_u64..2 * HOUR, sends_after in 0_u64..60_000, looks_after in 0_u64..5_000,
        ) {
            let clock = |passed: u64| if passed < set_after { HOUR + passed } else { to + passed };
            let mut watch = ready(clock(0));
            // The last that is heard of it.
            watch.heard();
            let mut answer_due = None;
            for passed in 0_u64..=60_000 {
                let now = clock(passed);
                if passed == sends_after {
                    watch.sent(now);
                }
                if (passed + looks_after) % 5_000 != 0 && answer_due != Some(passed) {
                    continue;
                }
                let patience = match watch.look(now, Stage::Ready) {
                    Look::Dead => return Ok(()),
                    Look::Slept if watch.is_silent(now) => PONG_SOON,
                    Look::Ask => PONG_WITHIN,
                    Look::Slept | Look::Fine => continue,
                };
                watch.asked(now, patience);
                answer_due = Some(passed + patience + 100);
            }
            prop_assert!(false, "nobody has noticed within a minute");
        }
    }
}
