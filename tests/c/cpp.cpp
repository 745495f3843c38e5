// remqtt.hpp: values, ownership, exceptions.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define REMQTT_EXCEPTIONS
#include <remqtt/remqtt.hpp>

#include "peer.h"
#include "test.h"

using namespace std::chrono_literals;

namespace {

/// A server, and a config for it.
struct Scene {
    explicit Scene(unsigned echo = 0) : server(server_new(echo, &port))
    {
        config.server("mqtt://127.0.0.1:" + std::to_string(port)).value();
        config.set("protocol_version", "4").value();
        config.set("detect_within", "0").value(); // a slow server is not taken for dead
        config.reconnect(1ms, 50ms).value();
    }
    ~Scene() { server_delete(server); }
    Scene(const Scene &) = delete;
    Scene &operator=(const Scene &) = delete;

    uint16_t port = 0;
    struct server *server;
    remqtt::Config config;
};

/// Waits a minute at most: what did not come by then ends the program.
template <class T> T get(std::future<T> future)
{
    if (future.wait_for(std::chrono::milliseconds(MINUTE_MS)) != std::future_status::ready) {
        test_fail(__FILE__, __LINE__, "what was waited for came");
        std::abort();
    }
    return future.get();
}
template <class T> T get(std::promise<T> &promise) { return get(promise.get_future()); }

TEST(a_failure_carries_its_words)
{
    remqtt::Config config;
    auto refused = config.set("keepalife", "1");
    CHECK(!refused && refused.error().status == REMQTT_E_INVALID_OPTION && !refused.error().is_retriable());
    CHECK(refused.error().text.find("keepalife") != std::string::npos && refused.error().text.back() != '\0');
    bool thrown = false;
    try {
        refused.value();
    } catch (const remqtt::Exception &exception) {
        thrown = exception.error.status == REMQTT_E_INVALID_OPTION && std::string(exception.what()).size() > 10;
    }
    CHECK(thrown);
}

TEST(functions_for_topics_the_log_and_pending_operations_are_reached)
{
    Scene scene(1);
    std::promise<std::string> topic, line;
    std::promise<bool> ended;
    bool logged = false;
    scene.config.on_log(REMQTT_LOG_INFO, [&](remqtt::ClientView, int32_t, std::string_view text) {
        if (!logged) {
            logged = true;
            line.set_value(std::string(text));
        }
    }).value();
    std::atomic<int> asked{ 0 };
    scene.config.on_credentials([&](remqtt::ClientView) -> std::optional<std::pair<std::string, std::string>> {
        if (asked++ == 0) {
            return std::nullopt;
        }
        return std::make_pair("me", "secret");
    }).value();
    remqtt::Client client = scene.config.client().value();
    client.on_topic("+", [&](remqtt::ClientView, remqtt::MessageView message) {
        topic.set_value(std::string(message.topic()));
    }).value();
    auto token = client.publish("a", "x", { 1 }).value();
    CHECK(client.pending() == std::vector<remqtt_token>{ token });
    client.on_done(token, [&](const remqtt::Outcome &outcome) { ended.set_value(bool(outcome)); }).value();
    CHECK(!client.on_done(token, [](const remqtt::Outcome &) {}));
    client.reconfigure(scene.config).value();
    client.subscribe({ { "e", 1 } }).value();
    client.start().value();
    CHECK(get(topic) == "e" && get(ended) && get(line).find("attempt failed") == 0);
    CHECK(asked == 2);
    client.forget_topic("+").value();
    client.flush(std::chrono::milliseconds(MINUTE_MS)).value();
    CHECK(client.pending().empty() && client.drop_publishes().value() == 0);
    CHECK(remqtt::topic_matches("a/#", "a/b") && !remqtt::topic_matches("a/+", "a"));
    client.close().value();
}

TEST(an_exchange_that_authenticates_has_its_functions)
{
    remqtt::Config config;
    remqtt::Properties properties;
    config.server("mqtt://127.0.0.1:1").value();
    properties.bytes(0x15, "m").value();
    config.connect_properties(properties).value();
    config.on_auth([](remqtt::ClientView client, remqtt::AuthView auth) {
        return bool(client.authenticate(auth.exchange(), auth.data(), auth.properties())) && auth.reason() == 0x18;
    }).value();
    config.on_credentials([](remqtt::ClientView) {
        remqtt::Login login("me", "secret");
        login.auth_data = "first";
        return std::optional<remqtt::Login>(login);
    }).value();
    remqtt::Client client = config.client().value();
    auto refused = client.authenticate(0, "data");
    CHECK(!refused && refused.error().status == REMQTT_E_NOT_CONNECTED);
    CHECK(bool(client.authenticate(1, "late")));
}

TEST(the_function_of_a_subscription_gets_its_messages_and_lives_as_long)
{
    Scene scene(1);
    std::atomic<int> elsewhere{ 0 };
    scene.config.on_message([&](remqtt::ClientView, remqtt::MessageView) { elsewhere++; }).value();
    remqtt::Client client = scene.config.client().value();
    auto held = std::make_shared<int>(7);
    std::weak_ptr<int> watched = held;
    std::promise<std::pair<std::string, uint16_t>> came;
    remqtt::Subscription wish{ "e", 1 };
    wish.on_message = [held = std::move(held), &came](remqtt::ClientView, remqtt::MessageView message) {
        came.set_value({ std::string(message.topic()), message.id() });
        return remqtt::Ack::now;
    };
    CHECK(!client.subscribe({ wish, { "e/#/", 1 } })); // refused: nothing is taken
    client.subscribe({ wish }).value();
    wish = {};
    client.start().value();
    auto [topic, id] = get(came);
    CHECK(topic == "e" && id > 0 && elsewhere == 0 && !watched.expired());
    client.close().value();
    CHECK(watched.expired());
}

TEST(a_batch_is_published_up_to_the_first_that_is_refused)
{
    Scene scene;
    remqtt::Client client = scene.config.client().value();
    std::atomic<int> ended{ 0 };
    auto held = std::make_shared<int>(7);
    remqtt::Accepted accepted = client.publish_many(
        { { "a", "1", { 1 } }, { "b", "2" }, { "#", "3" }, { "c", "4" } },
        [&, held](const remqtt::Outcome &outcome) { ended += outcome ? 1 : 100; });
    CHECK(!accepted && accepted.error.status == REMQTT_E_INVALID_TOPIC && accepted.tokens.size() == 2);
    CHECK(client.pending() == accepted.tokens);
    CHECK(client.publish_many({}) && client.publish_many({ { "d", "5" } }));
    client.start().value();
    client.flush(std::chrono::milliseconds(MINUTE_MS)).value();
    client.close().value();
    CHECK(ended == 2 && held.use_count() == 1);
}

TEST(options_statistics_and_the_socket_can_be_read)
{
    Scene scene;
    scene.config.set("keepalive", "17").value();
    remqtt::Properties properties;
    properties.user("key", "value").value();
    scene.config.connect_properties(properties).value();
    CHECK(scene.config.get("keepalive") == "17" && scene.config.get("no such option").empty());
    auto options = remqtt::option_names();
    CHECK(std::find(options.begin(), options.end(), "keepalive") != options.end());
    remqtt::Client client = scene.config.client().value();
    auto socket = client.duplicate_socket();
    CHECK(!socket && socket.error().status == REMQTT_E_NOT_CONNECTED);
    client.start().value();
    client.wait_state(REMQTT_STATE_CONNECTED, std::chrono::milliseconds(MINUTE_MS)).value();
    CHECK(close(client.duplicate_socket().value()) == 0);
    auto statistics = client.statistics();
    CHECK(statistics.front() == std::make_pair(std::string_view("connect_attempts"), uint64_t(1)));
    CHECK(statistics.size() == sizeof(remqtt_stats) / sizeof(uint64_t) - 1);
    CHECK(remqtt::mark_names().size() > REMQTT_MARK_DRAINED && client.outage_text(0).empty());
    client.close().value();
}

TEST(a_store_is_read_while_no_client_uses_it)
{
    std::string path = std::string(test_folder()) + "/store";
    CHECK(remqtt::Inspection::of(path).error().status == REMQTT_E_STORE_FAILED);
    Scene scene;
    scene.config.set("store", path).value();
    {
        remqtt::Client client = scene.config.client().value();
        client.publish("a", "hi", { 1 }).value();
        CHECK(remqtt::Inspection::of(path).error().status == REMQTT_E_STORE_LOCKED);
        client.sync(std::chrono::milliseconds(MINUTE_MS)).value();
        client.close().value();
    }
    remqtt::Inspection inspection = remqtt::Inspection::of(path).value();
    CHECK(inspection.size() > 0 && inspection.damage().empty() && inspection.count() == 2);
    CHECK(inspection.record(1).find("\"payload\": \"6869\"") != std::string::npos && inspection.record(2).empty());
}

TEST(the_tables_of_the_library_are_read_by_number)
{
    CHECK(remqtt::has_all_of_header() && remqtt::version().find('.') != std::string_view::npos);
    CHECK(remqtt::status_name(REMQTT_E_QUEUE_FULL) == "QueueFull" && !remqtt::status_text(REMQTT_OK).empty());
    CHECK(remqtt::status_who(REMQTT_E_CONNECTION_LOST) == "network");
    CHECK(remqtt::property_name(0x11) == "SessionExpiryInterval" && remqtt::property_name(0x7F).empty());
    CHECK(remqtt::property_kind(0x26) == REMQTT_PROPERTY_PAIR);
}

TEST(the_application_may_make_the_connections)
{
    Scene scene;
    std::atomic<int> asked{ 0 };
    scene.config.on_dial([&](remqtt::ClientView, const remqtt_target &target) -> int {
        if (asked++ == 0) {
            throw std::runtime_error("not yet");
        }
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(target.port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int made = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(connect(made, static_cast<sockaddr *>(static_cast<void *>(&address)), sizeof address) == 0);
        return made;
    }).value();
    std::atomic<int> caught{ 0 };
    remqtt::on_exception = [&](std::exception_ptr) { caught++; };
    remqtt::Client client = scene.config.client().value();
    client.start().value();
    client.wait_state(REMQTT_STATE_CONNECTED, std::chrono::milliseconds(MINUTE_MS)).value();
    CHECK(asked >= 2 && caught == 1);
    client.close().value();
    remqtt::on_exception = [](std::exception_ptr) { std::terminate(); };
}

TEST(what_belongs_to_the_road_is_handed_over)
{
    remqtt::Config config;
    config.server("wss://127.0.0.1:1/mqtt").value();
    config.tls_ca(std::string_view("\x30\x00", 2)).value();
    config.tls_cert("certificate").value();
    config.tls_key("key").value();
    config.ws_header("X-Key", "value").value();
    CHECK(bool(config.client()));
    config.ws_header("Upgrade", "value").value();
    auto refused = config.client();
    CHECK(!refused && refused.error().status == REMQTT_E_INVALID_OPTION);
    CHECK(refused.error().text.find("Upgrade") != std::string::npos);
}

TEST(a_publish_gives_a_future_of_its_outcome)
{
    Scene scene;
    remqtt::Client client = scene.config.client().value();
    client.start().value();
    remqtt::PublishOptions how;
    how.qos = 2;
    auto outcome = get(client.publish_future("a/b", "payload", how).value());
    CHECK(outcome && outcome.token > 0 && outcome.text.empty());
    CHECK(!client.publish_future("#", "payload", how));
    CHECK(client.stats().value().published == 1 && client.timeline().empty());
    client.close().value();
    auto closed = client.publish("a", "b");
    CHECK(!closed && closed.error().status == REMQTT_E_CLOSED);
}

TEST(messages_are_seen_kept_and_acknowledged)
{
    Scene scene(3);
    std::promise<remqtt::Message> first;
    std::promise<void> third;
    std::atomic<int> count{ 0 };
    scene.config.on_message([&](remqtt::ClientView, remqtt::MessageView message) {
        int now = ++count;
        if (now == 1) {
            first.set_value(message.keep());
            return remqtt::Ack::later;
        }
        if (now == 3) {
            third.set_value();
        }
        return remqtt::Ack::now;
    }).value();
    remqtt::Client client = scene.config.client().value();
    client.start().value();
    std::promise<remqtt::Outcome> subscribed;
    client.subscribe({ { "e", 1 } }, [&](const remqtt::Outcome &outcome) {
        subscribed.set_value(outcome);
    }).value();
    CHECK(get(subscribed).codes == std::vector<uint8_t>{ 1 });
    remqtt::Message message = get(first);
    get(third);
    CHECK(message.topic() == "e" && message.payload() == "hi" && message.qos() == 1 && !message.is_dup());
    CHECK(message.properties().size() == 0);
    remqtt::Message copy = message;
    message = remqtt::Message();
    CHECK(bool(copy.acknowledge()) && copy.topic() == "e");
    client.close().value();
}

TEST(what_a_callback_holds_lives_until_its_last_call)
{
    Scene scene;
    auto held = std::make_shared<int>(7);
    std::weak_ptr<int> watched = held;
    std::promise<void> gone;
    scene.config.on_state([held = std::move(held), &gone](remqtt::ClientView, const remqtt_state_event &event) {
        if (event.state == REMQTT_STATE_CLOSED) {
            gone.set_value();
        }
    }).value();
    remqtt::Client client = scene.config.client().value();
    scene.config = remqtt::Config();
    CHECK(!watched.expired());
    remqtt::Client copy = client, moved = std::move(client);
    CHECK(client.raw() == nullptr && copy.raw() == moved.raw());
    copy = remqtt::Client();
    moved = remqtt::Client();
    get(gone);
    while (!watched.expired()) { // the drop function follows the last call
        std::this_thread::yield();
    }
}

TEST(an_exception_in_a_callback_goes_to_its_handler)
{
    Scene scene(1);
    std::promise<std::string> caught;
    remqtt::on_exception = [&](std::exception_ptr exception) {
        try {
            std::rethrow_exception(exception);
        } catch (const std::exception &error) {
            caught.set_value(error.what());
        }
    };
    scene.config.on_message([](remqtt::ClientView, remqtt::MessageView) { throw std::runtime_error("seven"); })
        .value();
    remqtt::Client client = scene.config.client().value();
    client.start().value();
    client.subscribe({ { "e", 1 } }).value();
    CHECK(get(caught) == "seven");
    client.close().value();
    remqtt::on_exception = [](std::exception_ptr) { std::terminate(); };
}

TEST(properties_read_as_they_were_written)
{
    remqtt::Properties properties;
    properties.number(0x02, 30).value();
    properties.bytes(0x03, "text/plain").value();
    properties.user("key", "value").value();
    CHECK(!properties.number(0x7F, 1));
    remqtt::PropertiesView view = properties;
    CHECK(view.size() == 3 && view[0].number == 30 && view[1].value == "text/plain");
    CHECK(view[2].id == 0x26 && view[2].key == "key" && view[2].value == "value");
}

} // namespace
