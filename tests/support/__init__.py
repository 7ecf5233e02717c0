"""What several tests share: small models, servers, browsers, clusters."""
