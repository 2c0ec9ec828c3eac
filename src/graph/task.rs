//! Tasks, and the data that the user gives.

use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use super::Graph;
use super::access::{Access, AccessAt, ForeignData};
use crate::plan::Data;
use crate::run::slot::{Gone, Slot, is_unit};
use crate::run::tasks::record::{Fire, user_code};

impl<'env> Graph<'env> {
    /// Adds data with a value, for tasks to read and write.
    #[must_use]
    #[track_caller]
    pub fn data<T: Send + 'env>(&self, value: T) -> Data<T> {
        let op = self.names.add("data", Location::caller());
        let (slot, _) = self.draft.borrow_mut().add_slot(Some(value), op);
        Data::new(Arc::clone(&self.names), slot, op)
    }

    /// Adds a task, which calls `body` once in a run when its data is ready. Its result is data too.
    ///
    /// Tasks see their data as if they ran in program order. A task that reads comes after the last task before it that
    /// writes the same data. A task that writes comes after all tasks before it that read or write the same data. Tasks
    /// without such a reason to wait may run at the same time.
    ///
    /// To describe a task and plan it takes 80 to 300 ns and 10 to 65 bytes, by the number of its accesses, and the memory of
    /// its closure and its result; a [name](Data::named) takes as long again. To fire it takes a few nanoseconds if many are short,
    /// and some hundred if one is a job of its own.
    ///
    /// A task cannot fail but by a panic. One that may find something wrong returns a `Result`, which another one reads, or a
    /// stream of [`items`](Self::items) ends with the error.
    ///
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let (a, b) = (g.data(1), g.data(2));
    /// g.task(a.write(), |a| *a += 10);
    /// let sum = g.task((a.read(), b.read()), |(a, b)| a + b);
    /// let alone = g.task((), |()| 7); // it accesses nothing
    /// let mut plan = pool.run(g)?;
    /// assert_eq!((plan.take(sum), plan.take(alone)), (13, 7));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn task<A, F, R>(&self, access: A, body: F) -> Data<R>
    where
        A: Access + 'env,
        F: for<'a> FnMut(<A as AccessAt<'a>>::Ref) -> R + Send + 'env,
        R: Send + 'env,
    {
        let op = self.names.add("task", Location::caller());
        let mut draft = self.draft.borrow_mut();
        let (slot, result) = draft.add_result(op);
        draft.accesses.undo(); // those of a task that could not be added, as there was no memory
        let mut accesses = std::mem::take(&mut draft.accesses.list);
        let slots = access.bind(&draft, &mut accesses);
        draft.accesses.list = accesses;
        match slots {
            Ok(slots) if const { is_unit::<R>() } => {
                draft.add_task(op, Task { slots, body, result: (Unit, PhantomData::<R>) });
            }
            Ok(slots) => draft.add_task(op, Task { slots, body, result: (result, PhantomData::<R>) }),
            Err(ForeignData) => {
                draft.accesses.undo();
                draft.defect(op, "it accesses data of another graph");
                draft.add_task(op, Defective);
            }
        }
        Data::new(Arc::clone(&self.names), slot, op)
    }
}

/// A task with its types.
struct Task<A: Access, F, S> {
    slots: A::Slots,
    body: F,
    result: S,
}

/// Where the result of a task goes to.
#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
trait ResultSlot<R>: Send {
    /// Drops the value that is there, if there is one.
    ///
    /// # Safety
    /// (1) No other thread touches the slot during the call.
    unsafe fn clear(&self);

    /// Puts in the result. What was there before is not dropped.
    ///
    /// # Safety
    /// (1) No other thread touches the slot during the call. (2) It is the slot of a task's result.
    unsafe fn fill(&self, result: R);
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<R: Send> ResultSlot<R> for Slot<R> {
    #[inline]
    unsafe fn clear(&self) {
        // SAFETY: (1) passed on.
        unsafe { self.clear() };
    }

    #[inline]
    unsafe fn fill(&self, result: R) {
        // SAFETY: (1), (2) passed on.
        unsafe { self.fill(result) };
    }
}

/// The slot of a unit, which is no memory.
struct Unit;

#[expect(unsafe_code, reason = "as for any slot")]
impl<R> ResultSlot<R> for Unit {
    #[inline]
    unsafe fn clear(&self) {}
    #[inline]
    unsafe fn fill(&self, _: R) {}
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<A, F, R, S> Fire for Task<A, F, (S, PhantomData<R>)>
where
    A: Access,
    F: for<'a> FnMut(<A as AccessAt<'a>>::Ref) -> R + Send,
    R: Send,
    S: ResultSlot<R>,
{
    #[inline]
    unsafe fn fire(&mut self) {
        if std::mem::needs_drop::<R>() {
            // What the run before has made. It goes first, so that it and the new result do not both take memory.
            // SAFETY: (1) the run before is over, and in this one everything that accesses the result comes after this.
            unsafe { self.result.0.clear() };
        }
        let result = {
            let _call = user_code();
            // SAFETY: (1) passed on.
            (self.body)(unsafe { A::fetch(&self.slots) })
        };
        // SAFETY: (1) as above; (2) it is the slot of this task's result. If that has something to drop, it was dropped above.
        unsafe { self.result.0.fill(result) };
    }

    unsafe fn torn(&mut self, gone: &mut Gone) {
        // SAFETY: (1) passed on.
        unsafe { A::torn(&self.slots, gone) };
        // SAFETY: (1) as in `fire`.
        unsafe { self.result.0.clear() };
    }
}

/// Stands for a task of a graph that has a defect.
struct Defective;

#[expect(unsafe_code, reason = "as for any task")]
impl Fire for Defective {
    unsafe fn fire(&mut self) {
        unreachable!("a graph with a defect is not planned");
    }
    unsafe fn torn(&mut self, _: &mut Gone) {}
}
