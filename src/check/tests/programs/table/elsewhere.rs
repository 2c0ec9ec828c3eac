//! Futures that are done now, later, or when another thread says so.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread;

use super::super::items::{Item, mix};
use super::{At, Operator};
use crate::Retry;
use crate::check::is_virtual;
use crate::sync::{LazyLock, Mutex};

/// A thread that wakes whom it is sent.
static WAKES: LazyLock<Mutex<Sender<Waker>>> = LazyLock::new(|| {
    let (sender, wakers) = channel::<Waker>();
    thread::spawn(move || wakers.iter().for_each(Waker::wake));
    Mutex::new(sender)
});

/// A future that is not done when it is polled first: its waker is called at once, or by another thread.
struct Later {
    was_polled: bool,
    elsewhere: bool,
}

impl Future for Later {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.was_polled, true) {
            return Poll::Ready(());
        }
        if self.elsewhere && !is_virtual() {
            WAKES.lock().send(context.waker().clone()).expect("that thread lives on");
        } else {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Waits as the value says.
async fn later(value: i64) {
    if value.rem_euclid(4) > 0 {
        Later { was_polled: false, elsewhere: value.rem_euclid(4) == 1 }.await;
    }
}

/// How many at once.
fn limit(k: i64) -> usize {
    usize::try_from(k).expect("small")
}

fn mixed(items: Vec<i64>, k: i64) -> Vec<i64> {
    items.into_iter().map(|x| mix(x, k)).collect()
}

async fn mix_later<'env>(at: At<'env>, item: Item<'env>) -> Result<Item<'env>, &'static str> {
    later(*item.value).await;
    if at.is_error(&item) { Err("trap") } else { Ok(at.mixed(item)) }
}

pub(in super::super) const ELSEWHERE: [Operator; 4] = [
    Operator {
        methods: &["Stream::map_async"],
        graph: |items, at| {
            items
                .map_async(limit(at.k), move |item| async move {
                    later(*item.value).await;
                    at.mixed(item)
                })
                .boxed()
        },
        iter: mixed,
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::try_map_async"],
        graph: |items, at| items.try_map_async(limit(at.k), move |item| mix_later(at, item)).boxed(),
        iter: mixed,
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::try_map_async_with"],
        graph: |items, at| {
            let made = move |item: &Item<'_>| mix_later(at, at.item(*item.value));
            items.try_map_async_with(limit(at.k), Retry::times(1), made).boxed()
        },
        iter: mixed,
        ..Operator::FUSES
    },
    Operator {
        methods: &["Stream::map_blocking", "Stream::try_map_blocking", "Stream::try_map_blocking_with"],
        graph: |items, at| {
            let made = move |item: &Item<'_>| {
                if at.is_error(item) { Err("trap") } else { Ok(at.item(mix(at.value(item), at.k))) }
            };
            let owned = move |item: Item<'_>| made(&item);
            match at.k % 3 {
                _ if is_virtual() => items.try_map(owned).boxed(), // there are no side threads
                0 => items.map_blocking(limit(at.k), move |item| at.mixed(item)).boxed(),
                1 => items.try_map_blocking(limit(at.k), owned).boxed(),
                _ => items.try_map_blocking_with(limit(at.k), Retry::times(1), made).boxed(),
            }
        },
        iter: mixed,
        ..Operator::FUSES
    },
];
