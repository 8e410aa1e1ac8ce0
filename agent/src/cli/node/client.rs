//! One request to the agent of this node, over its unix socket.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::terminal::Form;

/// How long an agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub struct Connection {
    /// The agent's socket
    #[arg(long, value_name = "PATH", default_value = "/run/bulkhead/node/agent.sock")]
    socket: PathBuf,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum, PartialEq, Eq)]
pub enum Output {
    #[default]
    Text,
    Json,
}

impl Output {
    /// How an answer is written to standard output.
    pub const fn form(self) -> Form {
        match self {
            Self::Text => Form::Text,
            Self::Json => Form::Json,
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Json => "application/json",
        }
    }
}

impl Connection {
    /// The whole answer.
    ///
    /// # Errors
    /// No agent runs here, or it cannot answer.
    pub async fn get(&self, path: &str, output: Output) -> Result<Bytes> {
        let answer = async { Ok(self.request(path, output).await?.into_body().collect().await?.to_bytes()) };
        tokio::time::timeout(PATIENCE, answer).await.context("the agent does not answer")?
    }

    /// The answer piece by piece, for as long as it goes on.
    ///
    /// # Errors
    /// As [`Connection::get`], or `each` fails.
    pub async fn stream(&self, path: &str, output: Output, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut body = self.request(path, output).await?.into_body();
        while let Some(frame) = body.frame().await {
            if let Some(piece) = frame.context("the agent has ended")?.data_ref() {
                each(piece)?;
            }
        }
        Ok(())
    }

    async fn request(&self, path: &str, output: Output) -> Result<Response<Incoming>> {
        let socket = self.socket.display();
        let stream = UnixStream::connect(&self.socket).await.with_context(|| {
            format!("no agent answers at {socket}: run this on a node that has one, as root (in its pod: kubectl exec)")
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the connection; what goes wrong is seen by whoever reads the answer.
        tokio::spawn(connection);
        let request = Request::get(path).header(HOST, "agent").header(ACCEPT, output.media_type());
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        if response.status() != StatusCode::OK {
            let text = response.into_body().collect().await?.to_bytes();
            bail!("the agent cannot answer: {}", String::from_utf8_lossy(&text).trim_end());
        }
        Ok(response)
    }
}
