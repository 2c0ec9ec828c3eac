// oneTBB's side of the workloads: each function does one call of a pool. What tasks do comes from Rust.

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>

#include <tbb/blocked_range.h>
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_invoke.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/parallel_reduce.h>
#include <tbb/task_arena.h>

namespace {

using Body = void (*)(const void *context, std::uint32_t task);

// At most so many threads, the calling one among them.
struct Pool {
    tbb::global_control limit;
    tbb::task_arena arena;

    explicit Pool(std::size_t threads)
        : limit(tbb::global_control::max_allowed_parallelism, threads), arena(static_cast<int>(threads)) {
        arena.initialize();
    }
};

struct Graph {
    using Node = tbb::flow::continue_node<tbb::flow::continue_msg>;

    Pool &pool;
    std::unique_ptr<tbb::flow::graph> graph;
    std::deque<Node> nodes;
    std::deque<Node *> roots;

    explicit Graph(Pool &pool) : pool(pool) {
        pool.arena.execute([&] { graph = std::make_unique<tbb::flow::graph>(); });
    }
};

// As in src/workloads/w2.rs.
struct TreeNode {
    std::uint64_t value;
    const TreeNode *left;
    const TreeNode *right;
};

// As in src/tbb.rs.
struct Stages {
    std::uint64_t (*first)(std::uint64_t);
    bool (*keep)(std::uint64_t);
    std::uint64_t (*second)(std::uint64_t);
    std::uint64_t (*add)(std::uint64_t, std::uint64_t);
};

// A pipeline cannot drop an item: one that the filter drops goes on as a marker.
struct Maybe {
    std::uint64_t value;
    bool is_kept;
};

std::uint64_t fib(std::uint64_t n) {
    if (n < 2) {
        return n;
    }
    std::uint64_t a, b;
    tbb::parallel_invoke([&] { a = fib(n - 1); }, [&] { b = fib(n - 2); });
    return a + b;
}

// The calling thread runs the last of the functions itself, first.
std::uint64_t tree_sum(const TreeNode *node) {
    if (node == nullptr) {
        return 0;
    }
    std::uint64_t left, right;
    tbb::parallel_invoke([&] { left = tree_sum(node->left); }, [&] { right = tree_sum(node->right); });
    return node->value + left + right;
}

} // namespace

extern "C" {

Pool *peers_tbb_pool(std::size_t threads) { return new Pool(threads); }

void peers_tbb_pool_free(Pool *pool) { delete pool; }

void peers_tbb_execute(Pool *pool, Body body, const void *context) {
    pool->arena.execute([&] { body(context, 0); });
}

// The context belongs to the body.
void peers_tbb_enqueue(Pool *pool, Body body, const void *context) {
    pool->arena.enqueue([=] { body(context, 0); });
}

void peers_tbb_for(Pool *pool, std::uint32_t tasks, Body body, const void *context) {
    pool->arena.execute([&] { tbb::parallel_for(0U, tasks, [=](std::uint32_t task) { body(context, task); }); });
}

double peers_tbb_sum_of_roots(Pool *pool, const double *items, std::size_t count) {
    using Range = tbb::blocked_range<const double *>;
    auto fold = [](const Range &range, double sum) {
        for (double item : range) {
            sum += std::sqrt(item);
        }
        return sum;
    };
    double sum = 0;
    pool->arena.execute([&] {
        sum = tbb::parallel_reduce(Range(items, items + count, 1024), 0.0, fold, [](double a, double b) { return a + b; });
    });
    return sum;
}

std::uint64_t peers_tbb_fib(Pool *pool, std::uint64_t n) {
    return pool->arena.execute([=] { return fib(n); });
}

std::uint64_t peers_tbb_tree_sum(Pool *pool, const TreeNode *root) {
    return pool->arena.execute([=] { return tree_sum(root); });
}

std::uint64_t peers_tbb_stream(Pool *pool, std::uint64_t items, bool in_order, const Stages *stages) {
    using tbb::filter_mode;
    std::uint64_t next = 0, sum = 0;
    auto source = [&](tbb::flow_control &control) -> std::uint64_t {
        if (next == items) {
            control.stop();
            return 0;
        }
        return next++;
    };
    auto first = [=](std::uint64_t x) { return stages->first(x); };
    auto second = [=](std::uint64_t x) {
        return stages->keep(x) ? Maybe{stages->second(x), true} : Maybe{0, false};
    };
    auto sink = [&](Maybe x) {
        if (x.is_kept) {
            sum = stages->add(sum, x.value);
        }
    };
    auto sink_mode = in_order ? filter_mode::serial_in_order : filter_mode::serial_out_of_order;
    pool->arena.execute([&] {
        auto tokens = 16 * static_cast<std::size_t>(pool->arena.max_concurrency());
        tbb::parallel_pipeline(tokens, tbb::make_filter<void, std::uint64_t>(filter_mode::serial_in_order, source) &
                                           tbb::make_filter<std::uint64_t, std::uint64_t>(filter_mode::parallel, first) &
                                           tbb::make_filter<std::uint64_t, Maybe>(filter_mode::parallel, second) &
                                           tbb::make_filter<Maybe, void>(sink_mode, sink));
    });
    return sum;
}

// The tasks before task `t` are `before[ends[t - 1]..ends[t]]`.
Graph *peers_tbb_graph(Pool *pool, std::size_t tasks, const std::uint32_t *ends, const std::uint32_t *before, Body body,
                       const void *context) {
    auto graph = std::make_unique<Graph>(*pool);
    std::uint32_t begin = 0;
    for (std::uint32_t task = 0; task < tasks; begin = ends[task], task++) {
        auto work = [=](const tbb::flow::continue_msg &) { body(context, task); };
        Graph::Node &node = graph->nodes.emplace_back(*graph->graph, work);
        for (std::uint32_t edge = begin; edge < ends[task]; edge++) {
            tbb::flow::make_edge(graph->nodes[before[edge]], node);
        }
        if (begin == ends[task]) {
            graph->roots.push_back(&node);
        }
    }
    return graph.release();
}

void peers_tbb_graph_run(Graph *graph) {
    graph->pool.arena.execute([=] {
        for (Graph::Node *root : graph->roots) {
            root->try_put(tbb::flow::continue_msg());
        }
        graph->graph->wait_for_all();
    });
}

void peers_tbb_graph_free(Graph *graph) { delete graph; }
}
