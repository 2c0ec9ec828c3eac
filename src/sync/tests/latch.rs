//! The model of latches.

use std::sync::Arc;

use loom::thread;

use super::super::latch::Latch;
use super::super::parker::Parker;
use super::{Plain, check};

#[test]
fn loom_latch_hands_over() {
    check(&["latch.set", "latch.seen"], || {
        let shared = Arc::new((Latch::new(), Plain::new(), Parker::new()));
        let setter = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.add();
                #[expect(unsafe_code, reason = "the setter's contract is what is modelled")]
                // SAFETY: (1) alive in the Arc; (2) set once.
                unsafe {
                    Latch::set(&raw const shared.0, &shared.2);
                }
            })
        };
        while !shared.0.is_set() {
            shared.2.park();
        }
        assert_eq!(shared.1.get(), 1, "the setter's write is visible");
        setter.join().expect("no panic");
    });
}
