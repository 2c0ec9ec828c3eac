//! A future for tests that is polled twice.

use std::future::poll_fn;
use std::task::Poll;

/// A future that has nothing, wakes itself, and is done when it is asked again.
pub(crate) async fn give_way() {
    let mut has_given_way = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_given_way, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
