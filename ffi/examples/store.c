/* What is in the file of a store that no client uses: a JSON object a line, then whether it is whole.
 *
 *     store FILE
 *     cc store.c -o store $(pkg-config --cflags --libs remqtt)
 *
 * Exit status: 0 whole, 1 damaged, 2 it cannot be read. */
#include <stdio.h>
#include <stdlib.h>

#include <remqtt/remqtt.h>

static void print_record(const remqtt_inspection *inspection, size_t index)
{
    size_t size = remqtt_inspection_record(inspection, index, NULL, 0) + 1;
    char *line = malloc(size);
    if (line) {
        remqtt_inspection_record(inspection, index, line, size);
        puts(line);
        free(line);
    }
}

int main(int argc, char **argv)
{
    remqtt_inspection *inspection = NULL;
    char why[512];
    if (argc != 2) {
        fprintf(stderr, "usage: store FILE\n");
        return 2;
    }
    if (remqtt_inspection_new(argv[1], &inspection) != REMQTT_OK) {
        remqtt_last_error(why, sizeof why);
        fprintf(stderr, "store: %s\n", why);
        return 2;
    }
    for (size_t index = 0; index < remqtt_inspection_count(inspection); index++) {
        print_record(inspection, index);
    }
    remqtt_str damage = remqtt_inspection_damage(inspection);
    int damaged = damage.len > 0;
    fprintf(stderr, "%s%.*s\n", damaged ? "damaged: " : "whole", (int)damage.len, damage.ptr);
    remqtt_inspection_free(inspection);
    return damaged;
}
