//! The receivers of channels as live sources.

use std::sync::mpsc;
use std::time::Duration;

use super::live::{IntoLive, Pull};
use super::waited::{Channel, Heard, Waited};

impl<T: Send + 'static> IntoLive for mpsc::Receiver<T> {
    type Item = T;
    type Live = Waited<Self>;
    fn into_live(self) -> Waited<Self> {
        Waited::new(self)
    }
}

impl<T: Send + 'static> Channel for mpsc::Receiver<T> {
    type Item = T;
    fn look(&self) -> Pull<T> {
        match self.try_recv() {
            Ok(item) => Pull::Item(item),
            Err(mpsc::TryRecvError::Empty) => Pull::Pending,
            Err(mpsc::TryRecvError::Disconnected) => Pull::End,
        }
    }
    fn wait(&self, patience: Duration) -> Heard<T> {
        match self.recv_timeout(patience) {
            Ok(item) => Heard::Item(item),
            Err(mpsc::RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(mpsc::RecvTimeoutError::Disconnected) => Heard::News,
        }
    }
}

#[cfg(feature = "channels")]
mod others {
    use std::error::Error;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use crossbeam_channel::Select;
    use flume::r#async::RecvFut;

    use super::super::live::{IntoLive, Live, Pull};
    use super::super::waited::{Channel, Heard, Waited};
    use crate::run::outside::wake::Wake;

    impl<T: Send + 'static> IntoLive for crossbeam_channel::Receiver<T> {
        type Item = T;
        type Live = Waited<Self>;
        fn into_live(self) -> Waited<Self> {
            Waited::new(self)
        }
    }

    impl<T: Send + 'static> Channel for crossbeam_channel::Receiver<T> {
        type Item = T;
        fn look(&self) -> Pull<T> {
            match self.try_recv() {
                Ok(item) => Pull::Item(item),
                Err(crossbeam_channel::TryRecvError::Empty) => Pull::Pending,
                Err(crossbeam_channel::TryRecvError::Disconnected) => Pull::End,
            }
        }
        /// It takes nothing out: a clone of the receiver may want it.
        fn wait(&self, patience: Duration) -> Heard<T> {
            let mut select = Select::new();
            select.recv(self);
            select.ready_timeout(patience).map_or(Heard::Nothing, |_| Heard::News)
        }
    }

    impl<T: Send + 'static> IntoLive for flume::Receiver<T> {
        type Item = T;
        type Live = FromFlume<T>;
        fn into_live(self) -> FromFlume<T> {
            FromFlume { receiver: self, next: None }
        }
    }

    /// A receiver that wakes its source itself.
    #[expect(missing_debug_implementations, unnameable_types, reason = "nobody gets hold of one")]
    pub struct FromFlume<T: Send + 'static> {
        receiver: flume::Receiver<T>,
        /// The source waits for this.
        next: Option<RecvFut<'static, T>>,
    }

    impl<T: Send + 'static> Live for FromFlume<T> {
        type Item = T;

        fn pull(&mut self, wake: &Wake) -> Result<Pull<T>, Box<dyn Error + Send + Sync>> {
            if self.next.is_none() {
                match self.receiver.try_recv() {
                    Ok(item) => return Ok(Pull::Item(item)),
                    Err(flume::TryRecvError::Disconnected) => return Ok(Pull::End),
                    Err(flume::TryRecvError::Empty) => {}
                }
            }
            let next = self.next.get_or_insert_with(|| self.receiver.clone().into_recv_async());
            let waker = Waker::from(wake.clone());
            let Poll::Ready(received) = Pin::new(next).poll(&mut Context::from_waker(&waker)) else {
                return Ok(Pull::Pending);
            };
            self.next = None;
            Ok(received.map_or(Pull::End, Pull::Item))
        }

        /// A clone of the receiver may want what comes now.
        fn over(&mut self) {
            self.next = None;
        }
    }
}
