//! A source that sleeps while it is let go on, as nothing else of its run can: as `Source::lift` in `src/run/flow/source.rs`.

use super::bell::hear;
use super::*;
use crate::sync::bell::Bell;

/// A source, and what the holder of its turn keeps.
struct Held {
    credits: Credits,
    turn: Plain<HeldTurn>,
}

struct HeldTurn {
    free: Option<u32>,
    out: u32,
    soft: u32,
    all_open: bool,
    issued: u32,
    /// The place that a batch on another thread has from the start.
    first: u32,
}

impl Held {
    /// A source that may have one batch in flight, of `places`, and has one. It holds its turn.
    fn new(places: u32) -> Arc<Self> {
        let credits = Credits::new(places, 1);
        let first = credits.take_all().expect("free at the start");
        let turn = HeldTurn { free: None, out: 1, soft: 1, all_open: false, issued: 0, first };
        Arc::new(Self { credits, turn: Plain(UnsafeCell::new(turn)) })
    }

    /// The holder of the turn issues what it may, and goes to sleep.
    fn issue(&self) {
        loop {
            let may_issue = self.turn.change(|turn| {
                let mut back = self.credits.take_all();
                while let Some(place) = back {
                    back = self.credits.after(place);
                    self.credits.link(place, turn.free.replace(place));
                    turn.out -= 1;
                }
                let place = turn.free.filter(|_| turn.out < turn.soft);
                if let Some(place) = place {
                    turn.free = self.credits.after(place);
                    turn.out += 1;
                    turn.issued += 1;
                }
                place.is_some()
            });
            if !may_issue && self.credits.sleep() == SourceTurn::GivenUp {
                return;
            }
        }
    }

    /// The batch on another thread is done.
    fn put(&self, place: u32) {
        if self.credits.put(place) == IssueJob::Slept {
            self.issue();
        }
    }

    /// Lets it have twice as many batches in flight, if it sleeps. Whether it may have more now.
    fn lift(&self) -> bool {
        if self.credits.rouse() == IssueJob::Awake {
            return false;
        }
        let has_more = self.turn.change(|turn| {
            let has_more = turn.free.is_some() || !turn.all_open && turn.soft < self.credits.len();
            if has_more {
                turn.soft *= 2;
                if !std::mem::replace(&mut turn.all_open, true) {
                    turn.free = self.credits.open_others(turn.free);
                }
            }
            has_more
        });
        if has_more || self.credits.sleep() == SourceTurn::Kept {
            self.issue();
        }
        has_more
    }
}

/// The source goes to sleep, its batch puts its place back, and a third thread lets the source go on. At most one of them
/// has the turn, and each place is used.
fn all_places_are_used(places: u32) {
    let held = Held::new(places);
    let first = held.turn.change(|turn| turn.first);
    let batch = {
        let held = held.clone();
        thread::spawn(move || held.put(first))
    };
    let lifter = {
        let held = held.clone();
        thread::spawn(move || held.lift())
    };
    held.issue();
    batch.join().expect("no panic");
    let lifted = lifter.join().expect("no panic");
    assert_eq!(held.credits.rouse(), IssueJob::Slept, "it sleeps");
    held.turn.change(|turn| {
        assert_eq!(turn.issued, 1 + u32::from(lifted), "no place is lost, and none is used twice");
        assert_eq!(turn.out, turn.soft);
    });
}

#[test]
fn loom_credit_lift_opens_the_others() {
    check(&["credit.put", "credit.sleep", "credit.rouse"], || all_places_are_used(2));
}

#[test]
fn loom_credit_lift_of_a_source_without_more() {
    check(&["credit.put", "credit.sleep", "credit.rouse"], || all_places_are_used(1));
}

/// A source that has ended waits for its last place. It is roused meanwhile, and goes back to sleep. It hears of the place
/// once.
#[test]
fn loom_credit_lift_of_a_source_that_ended() {
    check(&["credit.put", "credit.hear", "credit.rouse"], || {
        let shared = Arc::new((Credits::new(1, 1), Plain::new()));
        let place = shared.0.take_all().expect("free at the start");
        assert_eq!(shared.0.stop(), IssueJob::Awake);
        let batch = {
            let shared = shared.clone();
            thread::spawn(move || if shared.0.put(place) == IssueJob::Slept { hear(&shared) } else { 0 })
        };
        let lifter = {
            let shared = shared.clone();
            thread::spawn(move || {
                if shared.0.rouse() == IssueJob::Awake {
                    return 0;
                }
                shared.1.add();
                if shared.0.sleep_to_hear() == SourceTurn::Kept { hear(&shared) } else { 0 }
            })
        };
        let heard = hear(&shared) + batch.join().expect("no panic") + lifter.join().expect("no panic");
        assert_eq!(heard, 1, "it hears of the place once");
    });
}

/// A live source that has nothing puts a unit outside and sleeps at its bell, as in `Source::hand_on`. Meanwhile a thread
/// outside brings the last item and rings, and queues the source on that unit if it slept. The run ends once, after the
/// item.
#[test]
fn loom_bell_keeps_its_run() {
    struct Run {
        tokens: Quiescence,
        bell: Bell,
        is_here: AtomicBool,
        taken: Plain,
    }
    /// The issue job, on one token. How often the run has ended.
    fn issue(run: &Run) -> u32 {
        run.bell.answer();
        while !run.is_here.load(Ordering::Relaxed) {
            run.taken.change(|_| ());
            run.tokens.put_outside();
            if run.bell.sleep() == SourceTurn::GivenUp {
                return give_back(run);
            }
            run.tokens.take_back();
        }
        run.taken.add();
        give_back(run)
    }
    fn give_back(run: &Run) -> u32 {
        if run.tokens.give_back(1) != Left::Nothing {
            return 0;
        }
        assert_eq!(run.taken.get(), 1, "all has been done");
        1
    }
    check(&["bell.ring", "bell.answer", "bell.refused", "bell.sleep", "quiescence.give"], || {
        let (is_here, taken) = (AtomicBool::new(false), Plain::new());
        let run = Arc::new(Run { tokens: Quiescence::new(1), bell: Bell::new(), is_here, taken });
        let outside = {
            let run = run.clone();
            thread::spawn(move || {
                run.is_here.store(true, Ordering::Relaxed);
                if run.bell.ring() == IssueJob::Awake {
                    return 0;
                }
                run.tokens.come_in();
                issue(&run)
            })
        };
        let ended = issue(&run) + outside.join().expect("no panic");
        assert_eq!(ended, 1, "the run ends once");
    });
}
