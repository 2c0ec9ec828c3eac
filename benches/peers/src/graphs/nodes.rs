//! dagrs: every task is a node, that waits for a message from each node before it.

use std::sync::Arc;

use async_trait::async_trait;
use dagrs::{Action, Content, DefaultNode, EnvVar, Graph, InChannels, Node, NodeTable, OutChannels, Output};
use tokio::runtime::Runtime;

use super::{Runner, Tasks};
use crate::shape::Shape;

/// More tasks take too long: a node costs some microseconds and kilobytes.
pub const MOST: usize = 4096;

pub struct Dagrs {
    runtime: Runtime,
    graph: Graph,
}

struct Call<T> {
    tasks: Arc<T>,
    task: u32,
}

#[async_trait]
impl<T: Tasks> Action for Call<T> {
    async fn run(&self, before: &mut InChannels, after: &mut OutChannels, _: Arc<EnvVar>) -> Output {
        before.map(|message| assert!(message.is_ok())).await;
        self.tasks.call(self.task);
        after.broadcast(Content::new(())).await.into_iter().for_each(|sent| sent.expect("those after it wait"));
        Output::empty()
    }
}

impl Dagrs {
    pub fn new(runtime: Runtime, shape: &Shape, tasks: impl Tasks) -> Self {
        let tasks = Arc::new(tasks);
        let (mut graph, mut table) = (Graph::new(), NodeTable::new());
        let mut ids = Vec::with_capacity(shape.tasks());
        for task in 0..shape.tasks() as u32 {
            let action = Call { tasks: Arc::clone(&tasks), task };
            let node = DefaultNode::with_action(task.to_string(), action, &mut table);
            ids.push(node.id());
            graph.add_node(node).expect("its name is its own");
        }
        let after = shape.after();
        for (task, id) in ids.iter().enumerate() {
            let after = after.of(task).iter().map(|after| ids[*after as usize]);
            graph.add_edge(*id, after).expect("there are such nodes");
        }
        Self { runtime, graph }
    }
}

impl Runner for Dagrs {
    fn run(&mut self) {
        self.runtime.block_on(async {
            self.graph.async_start().await.expect("nothing fails");
            self.graph.reset().await.expect("nothing runs"); // it could not run again without
        });
    }
}
