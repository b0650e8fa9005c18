//! The services beside the rate limit service: reflection and health.

use prost::Message as _;
use prost_types::{FileDescriptorProto, field_descriptor_proto::Type};
use tokio_stream::StreamExt as _;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::*;

const SERVICE: &str = "envoy.service.ratelimit.v3.RateLimitService";

#[tokio::test]
async fn reflection_lists_the_services_and_shows_the_official_files() {
    use v1::server_reflection_client::ServerReflectionClient;
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;

    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = ServerReflectionClient::new(server.channel());
    let ask = |question| {
        let request =
            v1::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        tokio_stream::once(request)
    };
    let answers = client.server_reflection_info(ask(MessageRequest::ListServices(String::new())));
    let answer = answers.await.unwrap().into_inner().next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list: {answer:?}");
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&SERVICE), "{names:?}");
    assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");

    let symbol = "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor".to_owned();
    let answers = client.server_reflection_info(ask(MessageRequest::FileContainingSymbol(symbol)));
    let answer = answers.await.unwrap().into_inner().next().await.unwrap().unwrap();
    let Some(MessageResponse::FileDescriptorResponse(files)) = answer.message_response else {
        panic!("no file: {answer:?}");
    };
    let file = FileDescriptorProto::decode(files.file_descriptor_proto[0].as_slice()).unwrap();
    assert_eq!(file.name(), "envoy/extensions/common/ratelimit/v3/ratelimit.proto");
    let entry = &file.message_type[0].nested_type[0];
    assert_eq!((entry.name(), entry.field[1].r#type()), ("Entry", Type::String));
}

#[tokio::test]
async fn older_clients_find_reflection_under_its_first_name() {
    use v1alpha::server_reflection_client::ServerReflectionClient;
    use v1alpha::server_reflection_request::MessageRequest;

    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = ServerReflectionClient::new(server.channel());
    let name = "envoy/service/ratelimit/v3/rls.proto".to_owned();
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileByFilename(name)),
    };
    let answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let answer = answers.into_inner().next().await.unwrap().unwrap();
    let text = format!("{answer:?}");
    assert!(text.contains("FileDescriptorResponse"), "{text}");
}

#[tokio::test]
async fn health_answers_to_its_three_names_and_to_no_other() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = HealthClient::new(server.channel());
    for service in ["", SERVICE, "ratelimit"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let response = client.check(request).await.unwrap();
        assert_eq!(response.get_ref().status(), ServingStatus::Serving);
    }
    let request = HealthCheckRequest { service: "other".to_owned() };
    assert_eq!(client.check(request).await.unwrap_err().code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn a_health_watch_hears_of_the_drain_and_does_not_hold_it_up() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = HealthClient::new(server.channel());
    let request = HealthCheckRequest { service: String::new() };
    let mut watch = client.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
    server.stop.cancel();
    let next = within(watch.next()).await.unwrap().unwrap();
    assert_eq!(next.status(), ServingStatus::NotServing);
    assert!(within(watch.next()).await.is_none());
    drop(client);
    within(server.running).await.unwrap();
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let mut client = tonic::client::Grpc::new(server.channel());
    client.ready().await.unwrap();
    let path = ::http::uri::PathAndQuery::from_static("/some.Service/Method");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let answer = client.unary(tonic::Request::new(()), path, codec).await;
    assert_eq!(answer.unwrap_err().code(), tonic::Code::Unimplemented);
}
