// A persistent subscriber in C++17: prints what arrives, through every outage, until a line is entered.
//
//     subscriber-cpp HOST PORT CLIENT_ID TOPIC QOS
//
// c++ -std=c++17 subscriber.cpp -o subscriber-cpp $(pkg-config --cflags --libs remqtt)
#include <cstdio>
#include <iostream>

#define REMQTT_EXCEPTIONS
#include <remqtt/remqtt.hpp>

int main(int argc, char **argv)
{
    if (argc < 6) {
        std::cerr << "usage: subscriber-cpp HOST PORT CLIENT_ID TOPIC QOS\n";
        return 2;
    }
    try {
        remqtt::Config config;
        config.server(std::string("mqtt://") + argv[1] + ":" + argv[2]).value();
        config.client_id(argv[3]).value();
        config.on_state([](remqtt::ClientView, const remqtt_state_event &event) {
            if (event.cause != REMQTT_OK) {
                std::cerr << std::string_view(event.text.ptr, event.text.len) << '\n';
            }
        }).value();
        config.on_message([](remqtt::ClientView, remqtt::MessageView message) {
            std::cout << message.topic() << ' ' << message.payload() << std::endl;
        }).value();

        remqtt::Client client = config.client().value();
        auto qos = static_cast<uint8_t>(std::stoi(argv[5]));
        client.subscribe({ { argv[4], qos } }).value();
        client.start().value();
        std::getchar();
        client.close(std::chrono::seconds(5)).value();
    } catch (const remqtt::Exception &failure) {
        std::cerr << "subscriber-cpp: " << failure.what() << '\n';
        return 1;
    }
}
