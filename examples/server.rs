//! A server on tokio that computes on one pool: a graph for each request, and one graph for all of them.
//!
//! ```text
//! cargo run --release --example server                       # asks itself, checks the answers, and ends
//! cargo run --release --example server -- --listen 127.0.0.1:7878
//! ```
//!
//! A request is a line, and so is its answer. `primes N` counts the primes below `N`, by a graph of its own.
//! `length TEXT` goes through a graph that lives as long as the server: its items come from all connections, and an
//! answer finds its way back by the channel that the request carries. While a graph works, no thread of tokio waits.

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use millstream::{Graph, Pool, Sender};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// A request has at most so many bytes.
const LONGEST: u64 = 64 * 1024;
/// The largest number that primes are counted below: it bounds what one request may cost.
const LARGEST: u64 = 10_000_000;

type AnyError = Box<dyn Error + Send + Sync>;

/// Answers requests on a TCP port
#[derive(Parser)]
#[command(name = "server")]
struct Args {
    /// Listen at this address, for ever; without it the server asks itself some questions, and ends
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), AnyError> {
    let pool = Arc::new(Pool::new()?);
    let runtime = Runtime::new()?;

    // The graph that lives on. It ends when the last sender is dropped.
    let g = Graph::new();
    let (sender, questions) = g.input::<Question>();
    let mut answers = questions.map(|Question { text, reply }| (text.chars().count(), reply)).named("length").output();
    let lengths = g.plan(&pool)?.start();
    let deliver = runtime.spawn(async move {
        while let Some((length, reply)) = answers.recv_async().await {
            let _ = reply.send(length); // who asked may be gone
        }
    });

    let server = Server { pool: Arc::clone(&pool), lengths: sender }; // a pool that is dropped ends its runs
    let served = runtime.block_on(async {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(args.listen.unwrap_or(local)).await?;
        let address = listener.local_addr()?;
        say(&format!("listening at {address}"))?;
        let serving = tokio::spawn(server.serve(listener));
        if args.listen.is_some() {
            return serving.await?;
        }
        let asked = ask(address).await;
        serving.abort();
        asked
    });

    runtime.shutdown_background(); // drops the connections, and with them the senders
    drop(deliver);
    served?;
    lengths.join()?;
    Ok(())
}

// ---- the server ----------------------------------------------------------------------------------------------------

/// An item of the graph that lives on.
struct Question {
    text: String,
    reply: oneshot::Sender<usize>,
}

#[derive(Clone)]
struct Server {
    pool: Arc<Pool>,
    lengths: Sender<Question>,
}

impl Server {
    async fn serve(self, listener: TcpListener) -> Result<(), AnyError> {
        loop {
            let (stream, _) = listener.accept().await?;
            let server = self.clone();
            tokio::spawn(async move {
                let _ = server.talk(stream).await; // the other side has gone
            });
        }
    }

    /// Answers the requests of one connection.
    async fn talk(&self, stream: TcpStream) -> io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while { &mut reader }.take(LONGEST).read_until(b'\n', &mut line).await? > 0 {
            let answer = match self.answer(String::from_utf8_lossy(&line).trim_end()).await {
                Ok(answer) => format!("{answer}\n"),
                Err(error) => format!("error: {error}\n"),
            };
            writer.write_all(answer.as_bytes()).await?;
            line.clear();
        }
        Ok(())
    }

    async fn answer(&self, request: &str) -> Result<u64, AnyError> {
        let (verb, rest) = request.split_once(' ').unwrap_or((request, ""));
        match verb {
            "primes" => {
                let limit = rest.parse().ok().filter(|limit| *limit <= LARGEST);
                self.primes(limit.ok_or_else(|| format!("a number up to {LARGEST} is wanted, not '{rest}'"))?).await
            }
            "length" => self.length(rest).await,
            _ => Err(format!("there is no '{verb}', but 'primes' and 'length'").into()),
        }
    }

    /// A graph for one request. Dropping the future, as when the server ends, cancels the run.
    async fn primes(&self, limit: u64) -> Result<u64, AnyError> {
        // A graph is not `Send`: it is gone before the task waits.
        let (running, count) = {
            let g = Graph::new();
            let count = g.range(2..limit.max(2)).filter(|n| is_prime(*n)).named("primes").count();
            (g.plan(&self.pool)?.start(), count)
        };
        Ok(running.await?.take(count))
    }

    /// An item of the graph that lives on. If it has no room, this task waits, and no other.
    async fn length(&self, text: &str) -> Result<u64, AnyError> {
        let (reply, answer) = oneshot::channel();
        let question = Question { text: text.to_owned(), reply };
        self.lengths.send_async(question).await.map_err(|_| "the graph has ended")?;
        Ok(answer.await? as u64)
    }
}

fn is_prime(n: u64) -> bool {
    (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

// ---- a client ------------------------------------------------------------------------------------------------------

/// Asks the server from several connections at once, and checks the answers.
async fn ask(address: SocketAddr) -> Result<(), AnyError> {
    let questions = [
        ("primes 100", "25"),
        ("primes 1000000", "78498"),
        ("length a stream of items", "17"),
        ("length grün", "4"),
        ("primes many", "error: a number up to 10000000 is wanted, not 'many'"),
        ("weather", "error: there is no 'weather', but 'primes' and 'length'"),
    ];
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(client(address, questions))).collect();
    for client in clients {
        client.await??;
    }
    for (question, answer) in questions {
        say(&format!("{question} -> {answer}"))?;
    }
    say("8 clients had these answers")?;
    Ok(())
}

/// Sends all questions at once, then reads the answers.
async fn client(address: SocketAddr, questions: [(&str, &str); 6]) -> Result<(), AnyError> {
    let mut stream = TcpStream::connect(address).await?;
    let all: String = questions.iter().map(|(question, _)| format!("{question}\n")).collect();
    stream.write_all(all.as_bytes()).await?;
    let mut answers = BufReader::new(stream).lines();
    for (question, expected) in questions {
        let answer = answers.next_line().await?.ok_or("the server has hung up")?;
        if answer != expected {
            return Err(format!("'{question}' was answered '{answer}', not '{expected}'").into());
        }
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}
