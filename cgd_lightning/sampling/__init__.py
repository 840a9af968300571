"""From a request to finished samples: the floor that commands, the callback and Python stand on."""
