// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The values of remqtt.hpp, which is what to include: errors and results, properties, messages, what to publish and
// to subscribe to.
#ifndef REMQTT_VALUES_HPP
#define REMQTT_VALUES_HPP

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <functional>
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

namespace detail {
/// A static string of the library; empty for NULL.
inline std::string_view name(const char *text) { return text ? text : std::string_view(); }
/// All names of a table of the library.
inline std::vector<std::string_view> names(const char *(*at)(size_t index))
{
    std::vector<std::string_view> all;
    while (const char *name = at(all.size())) {
        all.emplace_back(name);
    }
    return all;
}
/// The text whose length `copy(buffer, capacity)` returns and which it copies.
template <class Copy> std::string text(Copy copy)
{
    std::string text(copy(nullptr, 0), '\0');
    text.resize(std::min(text.size(), copy(text.data(), text.size() + 1)));
    return text;
}
} // namespace detail

/// The version of the library that is loaded.
inline std::string_view version() { return remqtt_version(); }
/// Whether the library that is loaded has everything that the header has.
inline bool has_all_of_header() { return remqtt_abi_version() >= REMQTT_ABI_VERSION; }

/// The name of a status, as in `QueueFull`.
inline std::string_view status_name(remqtt_status status) { return remqtt_status_name(status); }
/// What a status means.
inline std::string_view status_text(remqtt_status status) { return remqtt_status_text(status); }
/// Who caused it: `you`, `us`, `peer`, `network`, or `none`.
inline std::string_view status_who(remqtt_status status) { return remqtt_status_who(status); }

/// Why a call failed.
struct Error {
    remqtt_status status = REMQTT_OK;
    int reason = -1; ///< the server's MQTT reason code, or -1
    std::string text;

    /// The last failure of this thread.
    static Error last(remqtt_status status)
    {
        return { status, remqtt_last_error_reason(), detail::text(remqtt_last_error) };
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
    void operator()(remqtt_inspection *inspection) const { remqtt_inspection_free(inspection); }
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

/// The name of a property, as in `SessionExpiryInterval`; empty if there is none.
inline std::string_view property_name(uint8_t id) { return detail::name(remqtt_property_name(id)); }
/// What kind of value a property has: REMQTT_PROPERTY_...
inline int32_t property_kind(uint8_t id) { return remqtt_property_kind(id); }

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
    /// The packet identifier; 0 for QoS 0.
    uint16_t id() const { return remqtt_message_id(raw_); }
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

/// Who a client is, for one attempt to connect.
struct Login {
    Login(std::string user_name, std::string secret) : user(std::move(user_name)), password(std::move(secret)) {}
    Login(std::pair<std::string, std::string> both) : Login(std::move(both.first), std::move(both.second)) {}

    std::string user, password;
    /// The first data of the authentication method, which is a property of the CONNECT.
    std::optional<std::string> auth_data;
};

/// An AUTH of the server, for the time of its callback.
class AuthView {
public:
    explicit AuthView(const remqtt_auth *raw) : raw_(raw) {}

    /// What ClientView::authenticate answers; 0: it wants no answer.
    uint64_t exchange() const { return raw_->exchange; }
    /// 0x18: the exchange goes on. 0: the connection is authenticated anew.
    uint8_t reason() const { return raw_->reason; }
    std::string_view data() const { return detail::view(raw_->data); }
    PropertiesView properties() const { return PropertiesView(raw_->props); }

private:
    const remqtt_auth *raw_;
};

/// How to publish.
struct PublishOptions {
    uint8_t qos = 0;
    bool retain = false;
    PropertiesView properties = PropertiesView();
    /// REMQTT_LEVEL_..., 0 for the client's.
    uint8_t level = 0;
};

/// A message to publish.
struct Publication {
    std::string_view topic, payload;
    PublishOptions how = {};
};

/// How far a batch came.
struct Accepted {
    std::vector<remqtt_token> tokens; ///< of those that were accepted, in their order
    Error error;                      ///< why the next one was not; REMQTT_OK if there is none

    explicit operator bool() const { return error.status == REMQTT_OK; }
};

/// A function for messages, `handler(ClientView, MessageView)`, which returns nothing or an Ack; or none.
class OnMessage {
public:
    OnMessage(std::nullptr_t = nullptr) {}
    template <class F, class = std::enable_if_t<!std::is_same_v<F, OnMessage> && !std::is_null_pointer_v<F>>>
    OnMessage(F handler);

    explicit operator bool() const { return bool(function_); }
    int32_t operator()(remqtt_client *client, const remqtt_message *message) const { return function_(client, message); }

private:
    std::function<int32_t(remqtt_client *, const remqtt_message *)> function_;
};

/// A wish to receive.
struct Subscription {
    std::string_view filter;
    uint8_t qos = 0;
    bool no_local = false, retain_as_published = false;
    uint8_t retain_handling = 0;
    /// For the messages that this filter covers: see remqtt_subscription.
    OnMessage on_message = nullptr;
};

} // namespace remqtt

#endif // REMQTT_VALUES_HPP
