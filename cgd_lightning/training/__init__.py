"""Lightning modules that train the two networks, and the callbacks that go with them."""
