//! The services beside the rate limit service: reflection and health.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::{FileDescriptorProto, field_descriptor_proto::Type};
use tokio_stream::StreamExt as _;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::*;

const SERVICE: &str = "envoy.service.ratelimit.v3.RateLimitService";

/// What version 1 of reflection says to one question.
async fn reflected(
    server: &TestServer,
    question: v1::server_reflection_request::MessageRequest,
) -> v1::server_reflection_response::MessageResponse {
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(server.channel());
    let request =
        v1::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    answers.into_inner().next().await.unwrap().unwrap().message_response.unwrap()
}

/// The same with the words of its first version.
async fn reflected_alpha(
    server: &TestServer,
    question: v1alpha::server_reflection_request::MessageRequest,
) -> v1alpha::server_reflection_response::MessageResponse {
    let mut client =
        v1alpha::server_reflection_client::ServerReflectionClient::new(server.channel());
    let request =
        v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    answers.into_inner().next().await.unwrap().unwrap().message_response.unwrap()
}

/// Every service, with the official name of its file.
const SERVICES: [(&str, &str); 4] = [
    (SERVICE, "envoy/service/ratelimit/v3/rls.proto"),
    ("grpc.health.v1.Health", "grpc/health/v1/health.proto"),
    ("grpc.reflection.v1.ServerReflection", "grpc/reflection/v1/reflection.proto"),
    ("grpc.reflection.v1alpha.ServerReflection", "grpc/reflection/v1alpha/reflection.proto"),
];

#[tokio::test]
async fn both_versions_of_reflection_list_every_service() {
    let server = TestServer::start(FIVE_A_MINUTE).await;
    let expected: BTreeSet<String> = SERVICES.map(|(service, _)| service.to_owned()).into();

    let question = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let answer = reflected(&server, question).await;
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!("no list: {answer:?}");
    };
    let names: BTreeSet<String> = list.service.into_iter().map(|service| service.name).collect();
    assert_eq!(names, expected);

    let question = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let answer = reflected_alpha(&server, question).await;
    let v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer
    else {
        panic!("no list: {answer:?}");
    };
    let names: BTreeSet<String> = list.service.into_iter().map(|service| service.name).collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn reflection_shows_the_official_files_under_their_official_names() {
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;

    let server = TestServer::start(FIVE_A_MINUTE).await;
    let file = async |question| match reflected(&server, question).await {
        MessageResponse::FileDescriptorResponse(files) => {
            FileDescriptorProto::decode(files.file_descriptor_proto[0].as_slice()).unwrap()
        }
        answer => panic!("no file: {answer:?}"),
    };
    for (service, name) in SERVICES {
        let by_symbol = file(MessageRequest::FileContainingSymbol(service.to_owned())).await;
        assert_eq!(by_symbol.name(), name);
        let by_name = file(MessageRequest::FileByFilename(name.to_owned())).await;
        assert_eq!(by_name, by_symbol);
    }
    let symbol = "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor".to_owned();
    let file = file(MessageRequest::FileContainingSymbol(symbol)).await;
    assert_eq!(file.name(), "envoy/extensions/common/ratelimit/v3/ratelimit.proto");
    let entry = &file.message_type[0].nested_type[0];
    assert_eq!((entry.name(), entry.field[1].r#type()), ("Entry", Type::String));
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
