//! Tasks, and the data that the user gives.

use std::panic::Location;
use std::sync::Arc;

use super::Graph;
use super::access::{Access, AccessAt, ForeignData};
use crate::plan::Data;
use crate::run::dag::TaskBody;
use crate::run::slot::{AnySlot as _, Slot};

impl<'env> Graph<'env> {
    /// Adds data with a value, for tasks to read and write.
    #[must_use]
    #[track_caller]
    pub fn data<T: Send + 'env>(&self, value: T) -> Data<T> {
        let op = self.names.add("data", Location::caller());
        let slot = self.draft.borrow_mut().add_slot(Arc::new(Slot::new(Some(value))), op, true);
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
    pub fn task<A, F, R>(&self, mut access: A, body: F) -> Data<R>
    where
        A: Access + 'env,
        F: for<'a> FnMut(<A as AccessAt<'a>>::Ref) -> R + Send + 'env,
        R: Send + 'env,
    {
        let op = self.names.add("task", Location::caller());
        let mut draft = self.draft.borrow_mut();
        let mut accesses = Vec::new();
        if let Err(ForeignData) = access.bind(&mut draft, &mut accesses) {
            draft.defect(op, "it accesses data of another graph");
        }
        let result = Arc::new(Slot::new(None));
        let slot = draft.add_slot(result.clone(), op, false);
        draft.add_task(op, Box::new(TypedTask { access, body, result }), &accesses, slot);
        Data::new(Arc::clone(&self.names), slot, op)
    }
}

/// A task with its types.
struct TypedTask<A, F, R> {
    access: A,
    body: F,
    result: Arc<Slot<R>>,
}

#[expect(unsafe_code, reason = "the plan decides who may touch a slot when")]
impl<A, F, R> TaskBody for TypedTask<A, F, R>
where
    A: Access,
    F: for<'a> FnMut(<A as AccessAt<'a>>::Ref) -> R + Send,
    R: Send,
{
    unsafe fn fire(&mut self) {
        // What the run before has made. It goes first, so that it and the new result do not both take memory.
        // SAFETY: (1) the run before is over, and in this one everything that accesses the result comes after this task.
        unsafe { self.result.clear() };
        // SAFETY: (1) passed on.
        let result = (self.body)(unsafe { self.access.fetch() });
        // SAFETY: (1) as above.
        let old = unsafe { self.result.replace(Some(result)) };
        debug_assert!(old.is_none(), "it was dropped above");
    }

    unsafe fn torn(&mut self) {
        // SAFETY: (1) passed on.
        unsafe { self.access.torn() };
    }
}
