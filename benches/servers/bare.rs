//! hyper alone, with the frame of gRPC written by hand: what HTTP/2 costs below tonic and prost.
//!
//! It reads each body to its end, looks at none of it, and always answers the same bytes.

use std::convert::Infallible;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::net::TcpListener;

pub(super) async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let frame = frame();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let frame = frame.clone();
        let service = service_fn(move |request| answer(request, frame.clone()));
        let connection = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

/// The fixed answer with its flag and length in front.
fn frame() -> Bytes {
    let message = super::fixed_answer().encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_uint(message.len() as u64, 4);
    frame.extend_from_slice(&message);
    frame.freeze()
}

async fn answer(
    request: Request<Incoming>,
    frame: Bytes,
) -> hyper::Result<Response<impl Body<Data = Bytes, Error = Infallible>>> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        std::hint::black_box(frame?);
    }
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(frame).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}
