//! Tasks, and the data that the user gives.

use std::panic::Location;
use std::sync::Arc;

use super::Graph;
use super::access::{Access, AccessAt, ForeignData};
use crate::plan::Data;
use crate::run::slot::{Gone, Slot};
use crate::run::tasks::record::Fire;

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
    /// ```
    /// # use millstream::{Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let (a, b) = (g.data(1), g.data(2));
    /// g.task(a.write(), |a| *a += 10);
    /// let sum = g.task((a.read(), b.read()), |(a, b)| a + b);
    /// assert_eq!(pool.run(g)?.take(sum), 13);
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
        let mut accesses = std::mem::take(&mut draft.room);
        accesses.clear();
        match access.bind(&draft, &mut accesses) {
            Ok(slots) => draft.add_task(op, Task::<A, F, R> { slots, body, result }, &accesses, slot),
            Err(ForeignData) => {
                draft.defect(op, "it accesses data of another graph");
                draft.add_task(op, Defective, &[], slot);
            }
        }
        draft.room = accesses;
        Data::new(Arc::clone(&self.names), slot, op)
    }
}

/// A task with its types.
struct Task<A: Access, F, R> {
    slots: A::Slots,
    body: F,
    result: Slot<R>,
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<A, F, R> Fire for Task<A, F, R>
where
    A: Access,
    F: for<'a> FnMut(<A as AccessAt<'a>>::Ref) -> R + Send,
    R: Send,
{
    #[inline]
    unsafe fn fire(&mut self) {
        if std::mem::needs_drop::<R>() {
            // What the run before has made. It goes first, so that it and the new result do not both take memory.
            // SAFETY: (1) the run before is over, and in this one everything that accesses the result comes after this.
            unsafe { self.result.clear() };
        }
        // SAFETY: (1) passed on.
        let result = (self.body)(unsafe { A::fetch(&self.slots) });
        // SAFETY: (1) as above; (2) it is the slot of this task's result. If that has something to drop, it was dropped above.
        unsafe { self.result.fill(result) };
    }

    unsafe fn torn(&mut self, gone: &mut Gone) {
        // SAFETY: (1) passed on.
        unsafe { A::torn(&self.slots, gone) };
        // SAFETY: (1) as in `fire`.
        unsafe { self.result.clear() };
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
