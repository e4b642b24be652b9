// Starts Swagger UI on the page. A file of its own, because the page's policy allows no inline script.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#documentation",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null, // the public validator is somebody else's server
});
