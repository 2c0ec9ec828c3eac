//~ E0277 asks for `P: Pipe<Out = T> + 'env`
//! A function that takes any stream says so of its pipe; the message says how.
use millstream::{Graph, Pipe, Stream};

fn double<'env>(numbers: Stream<'env, u32, impl Pipe<Out = u32> + 'env>) -> Stream<'env, u32> {
    numbers.map(|x| 2 * x).boxed()
}

fn quadruple<'env, P>(numbers: Stream<'env, u32, P>) -> Stream<'env, u32> {
    double(double(numbers))
}

fn main() {
    let g = Graph::new();
    quadruple(g.range(0..3_u32)).for_each(drop);
}
