// The same in C++.
#include <future>
#include <iostream>
#include <string>

#include <remqtt/remqtt.hpp>

int main(int argc, char **argv)
{
    if (argc < 2) {
        return 2;
    }
    std::promise<std::string> promise;
    auto came = promise.get_future();
    remqtt::Config config;
    if (!config.server(argv[1])
        || !config.on_message([&promise](remqtt::ClientView, remqtt::MessageView message) {
               promise.set_value(std::string(message.payload()));
           })) {
        return 1;
    }
    auto client = config.client();
    if (!client || !client.value().subscribe({ { "consumer", 0 } }) || !client.value().publish("consumer", "hello")
        || !client.value().start()) {
        return 1;
    }
    if (came.wait_for(std::chrono::seconds(60)) != std::future_status::ready || came.get() != "hello") {
        return 1;
    }
    std::cout << remqtt_version() << std::endl;
    return client.value().close(std::chrono::seconds(5)) ? 0 : 1;
}
