//! oneTBB, through `tbb.cpp`.

use std::ffi::c_void;
use std::marker::PhantomData;

use crate::shape::Shape;
use crate::workloads::w2::Node;

type Body = extern "C" fn(*const c_void, u32);

unsafe extern "C" {
    fn peers_tbb_pool(threads: usize) -> *mut c_void;
    fn peers_tbb_pool_free(pool: *mut c_void);
    fn peers_tbb_execute(pool: *mut c_void, body: Body, context: *const c_void);
    fn peers_tbb_enqueue(pool: *mut c_void, body: Body, context: *const c_void);
    fn peers_tbb_for(pool: *mut c_void, tasks: u32, body: Body, context: *const c_void);
    fn peers_tbb_sum_of_roots(pool: *mut c_void, items: *const f64, count: usize) -> f64;
    fn peers_tbb_fib(pool: *mut c_void, n: u64) -> u64;
    fn peers_tbb_tree_sum(pool: *mut c_void, root: *const Node) -> u64;
    fn peers_tbb_stream(pool: *mut c_void, items: u64, in_order: bool, stages: *const Stages) -> u64;
    fn peers_tbb_graph(
        pool: *mut c_void,
        tasks: usize,
        ends: *const u32,
        before: *const u32,
        body: Body,
        context: *const c_void,
    ) -> *mut c_void;
    fn peers_tbb_graph_run(graph: *mut c_void);
    fn peers_tbb_graph_free(graph: *mut c_void);
}

/// What is done with the numbers of a stream.
#[repr(C)]
pub struct Stages {
    pub first: extern "C" fn(u64) -> u64,
    pub keep: extern "C" fn(u64) -> bool,
    pub second: extern "C" fn(u64) -> u64,
    pub add: extern "C" fn(u64, u64) -> u64,
}

/// At most so many threads, the calling one among them.
pub struct Pool(*mut c_void);

impl Pool {
    pub fn new(threads: usize) -> Self {
        // SAFETY: a constructor.
        Self(unsafe { peers_tbb_pool(threads) })
    }

    /// Calls `work` in the arena.
    pub fn execute(&self, work: impl Fn() + Send + Sync) {
        let body = |_| work();
        // SAFETY: the pool lives; the body lives until the call is over.
        unsafe { peers_tbb_execute(self.0, call_of(&body), (&raw const body).cast()) };
    }

    /// Has a worker call `work`; does not wait.
    pub fn enqueue(&self, work: impl FnOnce() + Send + 'static) {
        fn of<F: FnOnce()>(_: &F) -> Body {
            extern "C" fn call<F: FnOnce()>(work: *const c_void, _: u32) {
                // SAFETY: leaked below, and called once.
                let work = unsafe { Box::from_raw(work.cast::<F>().cast_mut()) };
                work();
            }
            call::<F>
        }
        let body = of(&work);
        let work = Box::into_raw(Box::new(work));
        // SAFETY: the pool lives; the work belongs to who calls it.
        unsafe { peers_tbb_enqueue(self.0, body, work.cast()) };
    }

    /// Calls `body` with the numbers below `tasks`.
    pub fn for_each(&self, tasks: u32, body: impl Fn(u32) + Send + Sync) {
        // SAFETY: the pool lives; the body lives until the call is over.
        unsafe { peers_tbb_for(self.0, tasks, call_of(&body), (&raw const body).cast()) };
    }

    pub fn sum_of_roots(&self, items: &[f64]) -> f64 {
        // SAFETY: the pool and the items live.
        unsafe { peers_tbb_sum_of_roots(self.0, items.as_ptr(), items.len()) }
    }

    pub fn fib(&self, n: u64) -> u64 {
        // SAFETY: the pool lives.
        unsafe { peers_tbb_fib(self.0, n) }
    }

    pub fn tree_sum(&self, root: &Node) -> u64 {
        // SAFETY: the pool and the tree live; both sides see the same layout.
        unsafe { peers_tbb_tree_sum(self.0, root) }
    }

    /// The numbers below `items` through a pipeline. The sink takes one at a time.
    pub fn stream(&self, items: u64, in_order: bool, stages: &Stages) -> u64 {
        // SAFETY: the pool lives; the stages live until the call is over, and both sides see the same layout.
        unsafe { peers_tbb_stream(self.0, items, in_order, stages) }
    }

    /// A graph of continue nodes.
    pub fn graph<F: Fn(u32) + Send + Sync>(&self, shape: &Shape, body: F) -> Graph<'_, F> {
        let body = Box::new(body);
        let (ends, before) = shape.before.parts();
        let context = (&raw const *body).cast();
        // SAFETY: the pool lives as long as the graph; the lists are read during the call; the body lives with it.
        let graph =
            unsafe { peers_tbb_graph(self.0, ends.len(), ends.as_ptr(), before.as_ptr(), call_of(&*body), context) };
        Graph { graph, _body: body, pool: PhantomData }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: once; nothing runs, and graphs borrow the pool.
        unsafe { peers_tbb_pool_free(self.0) };
    }
}

/// Of [`Pool::graph`].
pub struct Graph<'pool, F> {
    graph: *mut c_void,
    _body: Box<F>,
    pool: PhantomData<&'pool Pool>,
}

impl<F> Graph<'_, F> {
    /// Runs all tasks once.
    pub fn run(&self) {
        // SAFETY: the graph lives, and its body with it.
        unsafe { peers_tbb_graph_run(self.graph) };
    }
}

impl<F> Drop for Graph<'_, F> {
    fn drop(&mut self) {
        // SAFETY: once; nothing runs.
        unsafe { peers_tbb_graph_free(self.graph) };
    }
}

/// What calls a closure of this type.
fn call_of<F: Fn(u32)>(_: &F) -> Body {
    extern "C" fn call<F: Fn(u32)>(body: *const c_void, task: u32) {
        // SAFETY: a pointer to a closure of this type, which lives: see the callers of `call_of`.
        let body = unsafe { &*body.cast::<F>() };
        body(task);
    }
    call::<F>
}
