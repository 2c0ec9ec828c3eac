//! A model of the notice.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::super::notice::Notice;
use super::check;

/// A reader that sees the notice, and reads it again, sees what was stored before it.
#[test]
fn loom_notice_comes_with_what_was_stored() {
    check(&["notice.given", "notice.seen"], || {
        let shared = Arc::new((Notice::new(), AtomicUsize::new(0)));
        let giver = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.store(1, Ordering::Relaxed);
                shared.0.give();
            })
        };
        if shared.0.is_given() && shared.0.is_given_with_all() {
            assert_eq!(shared.1.load(Ordering::Relaxed), 1);
        }
        giver.join().expect("no panic");
    });
}
