// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// remqtt for C++17: a header-only layer over remqtt.h, whose rules on threads, callbacks and waiting hold here too.
//
// Nothing here throws by itself. A call that can fail returns Result<T>: test it, then use value() or error(). value()
// on a failure ends the program, or throws remqtt::Exception if REMQTT_EXCEPTIONS is defined before the include.
// Functions given as callbacks live until the library has called them for the last time. An exception that leaves one
// goes to on_exception; a message whose callback threw is not acknowledged.
#ifndef REMQTT_HPP
#define REMQTT_HPP

#include <chrono>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "remqtt.h"

namespace remqtt {

/// Why a call failed.
struct Error {
    remqtt_status status = REMQTT_OK;
    int reason = -1; ///< the server's MQTT reason code, or -1
    std::string text;

    /// The last failure of this thread.
    static Error last(remqtt_status status)
    {
        Error error{ status, remqtt_last_error_reason(), std::string(remqtt_last_error(nullptr, 0), '\0') };
        remqtt_last_error(error.text.data(), error.text.size() + 1);
        return error;
    }

    bool is_retriable() const { return remqtt_status_is_retriable(status) != 0; }
};

#ifdef REMQTT_EXCEPTIONS
class Exception : public std::exception {
public:
    explicit Exception(Error what) : error(std::move(what)) {}
    const char *what() const noexcept override { return error.text.c_str(); }
    Error error;
};
#endif

/// A value, or why there is none.
template <class T> class [[nodiscard]] Result {
public:
    Result(T value) : content_(std::move(value)) {}
    Result(Error error) : content_(std::move(error)) {}

    explicit operator bool() const { return content_.index() == 0; }
    const Error &error() const { return *std::get_if<1>(&content_); }

    T &&value() && { return std::move(value()); }
    T &value() &
    {
        if (content_.index() != 0) {
#ifdef REMQTT_EXCEPTIONS
            throw Exception(error());
#else
            std::abort();
#endif
        }
        return *std::get_if<0>(&content_);
    }

private:
    std::variant<T, Error> content_;
};

/// Nothing, or why it was not done.
using Status = Result<std::monostate>;

namespace detail {
inline Status status(remqtt_status status)
{
    return status == REMQTT_OK ? Status(std::monostate{}) : Status(Error::last(status));
}
inline remqtt_str str(std::string_view text) { return { text.data(), text.size() }; }
inline remqtt_bytes bytes(std::string_view data) { return remqtt_bytes_of(data.data(), data.size()); }
inline std::string_view view(remqtt_str text) { return { text.ptr, text.len }; }
inline std::string_view view(remqtt_bytes data)
{
    return { static_cast<const char *>(static_cast<const void *>(data.ptr)), data.len };
}
inline uint32_t ms(std::chrono::milliseconds time)
{
    return time.count() < 0 ? 0 : time.count() > UINT32_MAX ? UINT32_MAX : static_cast<uint32_t>(time.count());
}
struct Free {
    void operator()(remqtt_config *config) const { remqtt_config_free(config); }
    void operator()(remqtt_props *props) const { remqtt_props_free(props); }
    void operator()(remqtt_message *message) const { remqtt_message_free(message); }
    void operator()(remqtt_client *client) const { remqtt_client_free(client); }
};
template <class F> void drop(void *user) { delete static_cast<F *>(user); }
} // namespace detail

/// What becomes of an exception that leaves a callback. By default it ends the program.
inline std::function<void(std::exception_ptr)> on_exception = [](std::exception_ptr) { std::terminate(); };

namespace detail {
/// Calls user code so that nothing is thrown into the library; `thrown` is the result if it throws.
template <class R, class F> R guarded(R thrown, F &&call) noexcept
{
#ifdef __cpp_exceptions
    try {
        return call();
    } catch (...) {
        on_exception(std::current_exception());
        return thrown;
    }
#else
    (void)thrown;
    return call();
#endif
}
} // namespace detail

/// One property of a list; the views live as long as the list.
struct Property {
    uint8_t id = 0;
    uint32_t number = 0;
    std::string_view key, value;
};

/// MQTT 5 properties of something else, which keeps them alive.
class PropertiesView {
public:
    explicit PropertiesView(const remqtt_props *raw = nullptr) : raw_(raw) {}

    size_t size() const { return remqtt_props_count(raw_); }
    Property operator[](size_t index) const
    {
        Property found;
        remqtt_bytes key = { nullptr, 0 }, value = { nullptr, 0 };
        remqtt_props_get(raw_, index, &found.id, &found.number, &key, &value);
        found.key = detail::view(key);
        found.value = detail::view(value);
        return found;
    }
    const remqtt_props *raw() const { return raw_; }

private:
    const remqtt_props *raw_;
};

/// MQTT 5 properties to send.
class Properties {
public:
    Properties() : raw_(remqtt_props_new()) {}

    Status number(uint8_t id, uint32_t value) { return detail::status(remqtt_props_add_int(raw_.get(), id, value)); }
    /// Text or binary data.
    Status bytes(uint8_t id, std::string_view value) { return pair(id, {}, value); }
    Status user(std::string_view key, std::string_view value) { return pair(0x26, key, value); }
    operator PropertiesView() const { return PropertiesView(raw_.get()); }

private:
    Status pair(uint8_t id, std::string_view key, std::string_view value)
    {
        return detail::status(remqtt_props_add_bytes(raw_.get(), id, detail::bytes(key), detail::bytes(value)));
    }
    std::unique_ptr<remqtt_props, detail::Free> raw_;
};

class Message;

/// A message, for the time of its callback.
class MessageView {
public:
    explicit MessageView(const remqtt_message *raw) : raw_(raw) {}

    std::string_view topic() const { return detail::view(remqtt_message_topic(raw_)); }
    std::string_view payload() const { return detail::view(remqtt_message_payload(raw_)); }
    uint8_t qos() const { return static_cast<uint8_t>(remqtt_message_flags(raw_) & REMQTT_FLAG_QOS); }
    bool is_retained() const { return (remqtt_message_flags(raw_) & REMQTT_FLAG_RETAIN) != 0; }
    bool is_dup() const { return (remqtt_message_flags(raw_) & REMQTT_FLAG_DUP) != 0; }
    /// An earlier process had left it unfinished in the store.
    bool is_redelivered() const { return (remqtt_message_flags(raw_) & REMQTT_FLAG_REDELIVERED) != 0; }
    /// See remqtt_message_token.
    std::string_view token() const { return detail::view(remqtt_message_token(raw_)); }
    PropertiesView properties() const { return PropertiesView(remqtt_message_props(raw_)); }
    Status acknowledge(uint8_t reason = 0) const { return detail::status(remqtt_message_ack(raw_, reason)); }
    /// The message for as long as you want.
    Message keep() const;

protected:
    const remqtt_message *raw_;
};

/// A message that is kept; copies are further references.
class Message : public MessageView {
public:
    explicit Message(remqtt_message *own = nullptr) : MessageView(own), own_(own) {}
    Message(const Message &other) : Message(remqtt_message_ref(other.own_.get())) {}
    Message(Message &&other) noexcept : Message(other.own_.release()) { other.raw_ = nullptr; }
    Message &operator=(Message other) noexcept
    {
        std::swap(own_, other.own_);
        raw_ = own_.get();
        return *this;
    }

private:
    std::unique_ptr<remqtt_message, detail::Free> own_;
};

inline Message MessageView::keep() const { return Message(remqtt_message_ref(raw_)); }

/// What a message callback returns, if it returns anything.
enum class Ack : int32_t { now = 0, later = REMQTT_ACK_LATER };

/// How an operation ended.
struct Outcome {
    remqtt_token token = 0;
    remqtt_status status = REMQTT_OK;
    uint8_t reason = 0;
    std::vector<uint8_t> codes; ///< of each filter
    std::string text;           ///< why it failed

    explicit operator bool() const { return status == REMQTT_OK; }
};

using Done = std::function<void(const Outcome &)>;

/// Whether a filter covers a topic; false too if one of them is invalid.
inline bool topic_matches(std::string_view filter, std::string_view topic)
{
    return remqtt_topic_matches(detail::str(filter), detail::str(topic)) == 1;
}

/// How to publish.
struct PublishOptions {
    uint8_t qos = 0;
    bool retain = false;
    PropertiesView properties = PropertiesView();
    /// REMQTT_LEVEL_..., 0 for the client's.
    uint8_t level = 0;
};

/// A wish to receive.
struct Subscription {
    std::string_view filter;
    uint8_t qos = 0;
    bool no_local = false, retain_as_published = false;
    uint8_t retain_handling = 0;
};

class Config;

namespace detail {
template <class F> int32_t call_message(void *user, remqtt_client *client, const remqtt_message *message);
}

/// A client, for the time of a callback.
class ClientView {
public:
    explicit ClientView(remqtt_client *raw = nullptr) : raw_(raw) {}

    Status start() const { return detail::status(remqtt_client_start(raw_)); }
    Status stop(uint8_t reason = 0) const { return detail::status(remqtt_client_stop(raw_, reason, nullptr)); }
    Status close(std::chrono::milliseconds drain = {}) const
    {
        return detail::status(remqtt_client_close(raw_, detail::ms(drain)));
    }
    Status wait_state(int32_t state, std::chrono::milliseconds timeout) const
    {
        return detail::status(remqtt_client_wait_state(raw_, state, detail::ms(timeout)));
    }
    /// Waits until everything accepted so far is durable in the store.
    Status sync(std::chrono::milliseconds timeout) const
    {
        return detail::status(remqtt_client_sync(raw_, detail::ms(timeout)));
    }
    Status flush(std::chrono::milliseconds timeout) const
    {
        return detail::status(remqtt_client_flush(raw_, detail::ms(timeout)));
    }
    Status wait(remqtt_token token, std::chrono::milliseconds timeout) const
    {
        return detail::status(remqtt_client_wait(raw_, token, detail::ms(timeout)));
    }
    Status reconnect_now() const { return detail::status(remqtt_client_reconnect_now(raw_)); }
    Status network_changed() const { return detail::status(remqtt_client_network_changed(raw_)); }
    int32_t state() const { return remqtt_client_state(raw_); }

    Result<remqtt_token> publish(std::string_view topic, std::string_view payload, const PublishOptions &how = {},
                                 Done done = nullptr) const
    {
        remqtt_publish_options options = REMQTT_PUBLISH_OPTIONS_INIT;
        options.qos = how.qos;
        options.retain = how.retain;
        options.level = how.level;
        options.props = how.properties.raw();
        auto user = take(std::move(done));
        options.done = user ? call_done : nullptr;
        options.user = user.get();
        options.drop = user ? detail::drop<Done> : nullptr;
        remqtt_token token = 0;
        return begun(remqtt_client_publish(raw_, detail::str(topic), detail::bytes(payload), &options, &token), token,
                     user);
    }
    Result<remqtt_token> subscribe(const std::vector<Subscription> &wishes, Done done = nullptr,
                                   PropertiesView properties = PropertiesView()) const
    {
        std::vector<remqtt_subscription> each;
        for (const Subscription &wish : wishes) {
            remqtt_subscription raw = REMQTT_SUBSCRIPTION_INIT;
            raw.filter = detail::str(wish.filter);
            raw.qos = wish.qos;
            raw.no_local = wish.no_local;
            raw.retain_as_published = wish.retain_as_published;
            raw.retain_handling = wish.retain_handling;
            each.push_back(raw);
        }
        auto user = take(std::move(done));
        remqtt_token token = 0;
        return begun(remqtt_client_subscribe(raw_, each.data(), each.size(), properties.raw(),
                                             user ? call_done : nullptr, user.get(),
                                             user ? detail::drop<Done> : nullptr, &token),
                     token, user);
    }
    Result<remqtt_token> unsubscribe(const std::vector<std::string_view> &filters, Done done = nullptr) const
    {
        std::vector<remqtt_str> each;
        for (std::string_view filter : filters) {
            each.push_back(detail::str(filter));
        }
        auto user = take(std::move(done));
        remqtt_token token = 0;
        return begun(remqtt_client_unsubscribe(raw_, each.data(), each.size(), nullptr, user ? call_done : nullptr,
                                               user.get(), user ? detail::drop<Done> : nullptr, &token),
                     token, user);
    }
    /// Publishes and gives the outcome to wait for. Do not wait in a callback.
    Result<std::future<Outcome>> publish_future(std::string_view topic, std::string_view payload,
                                                const PublishOptions &how = {}) const
    {
        auto promise = std::make_shared<std::promise<Outcome>>();
        auto future = promise->get_future();
        auto begun = publish(topic, payload, how, [promise](const Outcome &outcome) { promise->set_value(outcome); });
        if (!begun) {
            return begun.error();
        }
        return future;
    }

    /// The function for the messages whose topic this filter covers: `handler(ClientView, MessageView)`, which returns
    /// nothing or an Ack. See remqtt_client_on_topic.
    template <class F> Status on_topic(std::string_view filter, F handler) const
    {
        auto user = std::make_unique<F>(std::move(handler));
        remqtt_status status = remqtt_client_on_topic(raw_, detail::str(filter), detail::call_message<F>, user.get(),
                                                      detail::drop<F>);
        if (status == REMQTT_OK) {
            (void)user.release();
        }
        return detail::status(status);
    }
    Status forget_topic(std::string_view filter) const
    {
        return detail::status(remqtt_client_on_topic(raw_, detail::str(filter), nullptr, nullptr, nullptr));
    }
    /// The operations that are not complete, oldest first, those of an earlier process included.
    std::vector<remqtt_token> pending() const
    {
        size_t count = 0;
        std::vector<remqtt_token> tokens;
        while (remqtt_client_pending(raw_, tokens.data(), tokens.size(), &count) == REMQTT_OK && count > tokens.size()) {
            tokens.resize(count);
        }
        tokens.resize(count);
        return tokens;
    }
    /// The function for the end of an operation that has none, such as one of an earlier process.
    Status on_done(remqtt_token token, Done done) const
    {
        auto user = take(std::move(done));
        auto status = remqtt_client_on_done(raw_, token, user ? call_done : nullptr, user.get(), detail::drop<Done>);
        if (status == REMQTT_OK) {
            (void)user.release();
        }
        return detail::status(status);
    }
    /// Gives up every publish of QoS 1 and 2 that is not complete. Gives how many there were.
    Result<size_t> drop_publishes() const
    {
        size_t count = 0;
        remqtt_status status = remqtt_client_drop_publishes(raw_, nullptr, nullptr, &count);
        return status == REMQTT_OK ? Result<size_t>(count) : Result<size_t>(Error::last(status));
    }
    /// Uses these options from the next connection on.
    Status reconfigure(const Config &config) const;

    Result<remqtt_stats> stats() const
    {
        remqtt_stats stats = REMQTT_STATS_INIT;
        remqtt_status status = remqtt_client_stats(raw_, &stats);
        return status == REMQTT_OK ? Result<remqtt_stats>(stats) : Result<remqtt_stats>(Error::last(status));
    }
    /// The last outages, oldest first.
    std::vector<remqtt_outage> timeline() const
    {
        std::vector<remqtt_outage> outages;
        remqtt_outage outage = REMQTT_OUTAGE_INIT;
        while (remqtt_client_outage(raw_, outages.size(), &outage) == REMQTT_OK) {
            outages.push_back(outage);
        }
        return outages;
    }
    /// Poll mode: readable while dispatch has work.
    int event_fd() const { return remqtt_client_event_fd(raw_); }
    Result<int> dispatch(std::chrono::milliseconds timeout, uint32_t max_events = 0) const
    {
        int32_t told = remqtt_client_dispatch(raw_, detail::ms(timeout), max_events);
        return told >= 0 ? Result<int>(told) : Result<int>(Error::last(told));
    }
    remqtt_client *raw() const { return raw_; }

private:
    static std::unique_ptr<Done> take(Done done)
    {
        return done ? std::make_unique<Done>(std::move(done)) : nullptr;
    }
    /// The library owns `user` from a successful call on; its drop function may have run by now. The token is a
    /// reference because the call that sets it may be evaluated after this argument.
    static Result<remqtt_token> begun(remqtt_status status, const remqtt_token &token, std::unique_ptr<Done> &user)
    {
        if (status != REMQTT_OK) {
            return Error::last(status);
        }
        (void)user.release();
        return token;
    }
    static void call_done(void *user, remqtt_client *, const remqtt_result *result)
    {
        detail::guarded(0, [&] {
            Outcome outcome{ result->token, result->status, result->reason,
                             { result->codes.ptr, result->codes.ptr + result->codes.len },
                             std::string(detail::view(result->text)) };
            (*static_cast<Done *>(user))(outcome);
            return 0;
        });
    }

    remqtt_client *raw_;
};

/// A reference to a client; copies are further ones. The last to go closes the client.
class Client : public ClientView {
public:
    Client() = default;
    explicit Client(remqtt_client *own) : ClientView(own), own_(own) {}
    Client(const Client &other) : Client(remqtt_client_ref(other.raw())) {}
    Client(Client &&other) noexcept : Client(other.own_.release()) { other.ClientView::operator=(ClientView()); }
    Client &operator=(Client other) noexcept
    {
        std::swap(own_, other.own_);
        ClientView::operator=(ClientView(own_.get()));
        return *this;
    }
    /// The client of a callback for as long as you want.
    static Client keep(ClientView view) { return Client(remqtt_client_ref(view.raw())); }

private:
    std::unique_ptr<remqtt_client, detail::Free> own_;
};

/// What a client is made from.
class Config {
public:
    Config() : raw_(remqtt_config_new()) {}

    Status set(const std::string &key, const std::string &value)
    {
        return detail::status(remqtt_config_set(raw_.get(), key.c_str(), value.c_str()));
    }
    Status server(const std::string &url) { return detail::status(remqtt_config_add_server(raw_.get(), url.c_str())); }
    Status client_id(std::string_view id)
    {
        return detail::status(remqtt_config_set_client_id(raw_.get(), id.data(), id.size()));
    }
    Status credentials(std::string_view user, std::string_view password)
    {
        return detail::status(
            remqtt_config_set_credentials(raw_.get(), detail::str(user), detail::bytes(password)));
    }
    /// Authorities that may vouch for the server, PEM or DER.
    Status tls_ca(std::string_view certificates)
    {
        return detail::status(remqtt_config_set_tls_ca(raw_.get(), detail::bytes(certificates)));
    }
    /// Our certificate and its chain, PEM or DER, for servers that ask for one.
    Status tls_cert(std::string_view certificate)
    {
        return detail::status(remqtt_config_set_tls_cert(raw_.get(), detail::bytes(certificate)));
    }
    /// The private key of our certificate, PEM or DER.
    Status tls_key(std::string_view key)
    {
        return detail::status(remqtt_config_set_tls_key(raw_.get(), detail::bytes(key)));
    }
    /// A header of the WebSocket handshake.
    Status ws_header(std::string_view name, std::string_view value)
    {
        return detail::status(remqtt_config_add_ws_header(raw_.get(), detail::str(name), detail::str(value)));
    }
    Status session(bool clean_start, std::chrono::seconds expiry)
    {
        auto seconds = static_cast<uint32_t>(expiry.count());
        return detail::status(remqtt_config_set_session(raw_.get(), clean_start, seconds));
    }
    Status reconnect(std::chrono::milliseconds min, std::chrono::milliseconds max)
    {
        return detail::status(remqtt_config_set_reconnect(raw_.get(), detail::ms(min), detail::ms(max)));
    }
    Status will(std::string_view topic, std::string_view payload, const PublishOptions &how = {})
    {
        return detail::status(remqtt_config_set_will(raw_.get(), detail::str(topic), detail::bytes(payload), how.qos,
                                                     how.retain, how.properties.raw()));
    }

    /// `handler(ClientView, const remqtt_state_event &)`
    template <class F> Status on_state(F handler)
    {
        auto call = [](void *user, remqtt_client *client, const remqtt_state_event *event) {
            detail::guarded(0, [&] { return (*static_cast<F *>(user))(ClientView(client), *event), 0; });
        };
        return add(remqtt_config_on_state, +call, std::move(handler));
    }
    /// `handler(ClientView, const remqtt_outage &)`
    template <class F> Status on_recovered(F handler)
    {
        auto call = [](void *user, remqtt_client *client, const remqtt_outage *outage) {
            detail::guarded(0, [&] { return (*static_cast<F *>(user))(ClientView(client), *outage), 0; });
        };
        return add(remqtt_config_on_recovered, +call, std::move(handler));
    }
    /// `handler(ClientView, const remqtt_quarantined &)`
    template <class F> Status on_quarantined(F handler)
    {
        auto call = [](void *user, remqtt_client *client, const remqtt_quarantined *what) {
            detail::guarded(0, [&] { return (*static_cast<F *>(user))(ClientView(client), *what), 0; });
        };
        return add(remqtt_config_on_quarantined, +call, std::move(handler));
    }
    /// `handler(ClientView)`, which returns a std::optional of user name and password: asked before each attempt, on a
    /// thread beside the other callbacks. Nothing ends the attempt.
    template <class F> Status on_credentials(F handler)
    {
        auto call = [](void *user, remqtt_client *client, remqtt_login *login) -> remqtt_status {
            return detail::guarded(REMQTT_E_BAD_CREDENTIALS, [&]() -> remqtt_status {
                std::optional<std::pair<std::string, std::string>> said = (*static_cast<F *>(user))(ClientView(client));
                return said ? remqtt_login_set(login, detail::str(said->first), detail::bytes(said->second))
                            : REMQTT_E_BAD_CREDENTIALS;
            });
        };
        return add(remqtt_config_on_credentials, +call, std::move(handler));
    }
    /// `handler(ClientView, int32_t level, std::string_view text)`, for lines up to `level`, REMQTT_LOG_...
    template <class F> Status on_log(int32_t level, F handler)
    {
        auto call = [](void *user, remqtt_client *client, int32_t of, remqtt_str text) {
            detail::guarded(0, [&] { return (*static_cast<F *>(user))(ClientView(client), of, detail::view(text)), 0; });
        };
        auto with_level = [level](remqtt_config *config, remqtt_log_fn function, void *user, remqtt_drop_fn drop) {
            return remqtt_config_on_log(config, level, function, user, drop);
        };
        return add(with_level, +call, std::move(handler));
    }
    /// `handler(ClientView, const remqtt_gap &)`
    template <class F> Status on_gap(F handler)
    {
        auto call = [](void *user, remqtt_client *client, const remqtt_gap *gap) {
            detail::guarded(0, [&] { return (*static_cast<F *>(user))(ClientView(client), *gap), 0; });
        };
        return add(remqtt_config_on_gap, +call, std::move(handler));
    }
    /// `handler(ClientView, remqtt_status, std::string_view)`: the trouble of the store in words, or REMQTT_OK when it
    /// can be written again.
    template <class F> Status on_store(F handler)
    {
        auto call = [](void *user, remqtt_client *client, remqtt_status cause, remqtt_str text) {
            detail::guarded(0, [&] {
                return (*static_cast<F *>(user))(ClientView(client), cause, detail::view(text)), 0;
            });
        };
        return add(remqtt_config_on_store, +call, std::move(handler));
    }
    /// `handler(ClientView, MessageView)`, which returns nothing or an Ack.
    template <class F> Status on_message(F handler)
    {
        return add(remqtt_config_on_message, detail::call_message<F>, std::move(handler));
    }

    const remqtt_config *raw() const { return raw_.get(); }

    Result<Client> client() const
    {
        remqtt_client *made = nullptr;
        remqtt_status status = remqtt_client_new(raw_.get(), &made);
        return status == REMQTT_OK ? Result<Client>(Client(made)) : Result<Client>(Error::last(status));
    }

private:
    template <class Register, class Call, class F> Status add(Register registration, Call call, F handler)
    {
        auto user = std::make_unique<F>(std::move(handler));
        remqtt_status status = registration(raw_.get(), call, user.get(), detail::drop<F>);
        if (status == REMQTT_OK) {
            (void)user.release();
        }
        return detail::status(status);
    }
    std::unique_ptr<remqtt_config, detail::Free> raw_;
};

inline Status ClientView::reconfigure(const Config &config) const
{
    return detail::status(remqtt_client_reconfigure(raw_, config.raw()));
}

namespace detail {
template <class F> int32_t call_message(void *user, remqtt_client *client, const remqtt_message *message)
{
    return guarded(REMQTT_ACK_LATER, [&]() -> int32_t {
        F &handle = *static_cast<F *>(user);
        if constexpr (std::is_void_v<std::invoke_result_t<F &, ClientView, MessageView>>) {
            return handle(ClientView(client), MessageView(message)), 0;
        } else {
            return static_cast<int32_t>(handle(ClientView(client), MessageView(message)));
        }
    });
}
} // namespace detail

} // namespace remqtt

#endif // REMQTT_HPP
