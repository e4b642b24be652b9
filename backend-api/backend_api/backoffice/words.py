"""What the back office says: refusals, notices, names of states, in Spanish, short, and with what to do next."""

from backend_api.pages.words import Words

NOTICES = {
    "adios": "Salió de la oficina. Ya puede cerrar esta ventana.",
    "contrasena": "Su contraseña quedó guardada. Ya puede entrar con ella.",
    "cambiada": "Su contraseña quedó cambiada. En los demás equipos hay que entrar de nuevo.",
    "guardado": "Los cambios quedaron guardados.",
    "cliente": "El cliente quedó registrado.",
    "eliminado": "El cliente quedó eliminado y sus datos personales, bloqueados.",
    "otorgado": "El crédito quedó registrado.",
    "activado": "El crédito quedó activado: el dinero se entrega hoy.",
    "rechazado": "El crédito quedó rechazado.",
    "cancelado": "El crédito quedó cancelado.",
    "pagado": "El pago quedó registrado.",
    "anulado": "El pago quedó anulado.",
    "cargo": "El cargo quedó registrado.",
    "condonado": "La condonación quedó registrada.",
    "castigado": "El crédito quedó castigado.",
    "repuesto": "El castigo quedó anulado.",
    "reestructurado": "El crédito anterior se cerró y este toma su lugar.",
    "solicitado": "Hace falta la autorización de otra persona. Su solicitud quedó en espera y todavía no se hizo nada.",
    "autorizado": "Quedó autorizado y hecho.",
    "negado": "La solicitud quedó rechazada. No se hizo nada.",
    "recibido": "El archivo quedó recibido. Abajo ve cómo avanza.",
    "detenido": "La importación quedó detenida.",
    "producto": "El producto quedó guardado.",
    "retirado": "El producto quedó retirado. Los créditos que ya existen siguen igual.",
    "usuario": "Los cambios del usuario quedaron guardados.",
    "revocada": "La llave quedó revocada.",
    "reintento": "Los eventos vuelven a intentarse. En unos segundos dejan esta lista, o regresan con su motivo.",
}
"""What was done, by the word that stands in the address: nobody can put other words into a page with a link."""

CLIENTS = {"ACTIVE": "Activo", "INACTIVE": "Inactivo"}
KINDS = {"individual": "Persona física", "individual_business": "Física con actividad", "company": "Persona moral"}
PAYMENTS = {"REGISTERED": "Registrado", "REJECTED": "Rechazado", "REVERSED": "Anulado"}
APPROVALS = {"PENDING": "En espera", "APPROVED": "Autorizada", "REJECTED": "Rechazada", "EXPIRED": "Vencida"}
APPROVAL_KINDS = {
    "ACTIVATION": "Activar un crédito",
    "REVERSAL": "Anular un pago",
    "RESTRUCTURE": "Reestructurar",
    "WRITE_OFF": "Castigar",
    "WRITE_OFF_REVERSAL": "Anular un castigo",
    "WAIVER": "Condonar",
}
MOVEMENTS = {
    "DISBURSEMENT": "Disposición",
    "PAYMENT": "Pago",
    "FEE": "Cargo",
    "WAIVER": "Condonación",
    "WRITE_OFF": "Castigo",
    "RECOVERY": "Recuperación",
    "RESTRUCTURE": "Cierre por reestructura",
    "TRANSFER": "Traspaso del crédito anterior",
}
PRODUCTS = {"ACTIVE": "Vigente", "RETIRED": "Retirado"}
USERS = {"ACTIVE": "Activo", "DISABLED": "Desactivado"}
ROLES = {"admin": "Administrador", "officer": "Ejecutivo", "auditor": "Auditor", "client": "Cliente"}
KEYS = {"ACTIVE": "Vigente", "REVOKED": "Revocada"}
IMPORTS = {
    "WAITING": "En espera",
    "CHECKING": "Revisando",
    "WRITING": "Guardando",
    "COMPLETED": "Terminada",
    "REFUSED": "No se tomó",
    "FAILED": "Falló",
    "CANCELLED": "Detenida",
}
MODES = {"accept_good": "Tomar las líneas buenas", "all_or_nothing": "Todas o ninguna"}
OUTCOMES = {"accepted": "Aceptada", "duplicate": "Ya existía", "refused": "Rechazada"}
CONCEPTS = {"fees": "Cargos", "moratory": "Intereses moratorios", "interest": "Intereses"}
REASONS = {
    "payment_exceeds_debt": "Más de lo que se debía",
    "movement_refused": "Los movimientos del crédito no lo permitían",
}
"""Why a payment was refused, by code."""

TONES = {
    "late": {"DEFAULTED", "WRITTEN_OFF", "REJECTED", "REVERSED", "FAILED", "REFUSED", "refused", "DISABLED", "REVOKED"},
    "plain": {"PENDING", "CANCELLED", "RESTRUCTURED", "PAID_OFF", "INACTIVE", "EXPIRED", "WAITING", "CHECKING",
              "WRITING", "RETIRED", "duplicate"},
}  # fmt: skip
"""The look of a state; others are well."""

_OWN = {
    "amount_grown": "Desde que se pidió, el importe creció. Tiene que pedirse de nuevo.",
    "api_key_revoked": "La llave ya está revocada.",
    "approval_decided": "Otra persona ya decidió esta solicitud.",
    "approval_expired": "La solicitud venció sin que nadie decidiera. Tiene que pedirse de nuevo.",
    "approval_pending": "Ya hay una solicitud igual en espera de que otra persona la autorice.",
    "audit_unavailable": "La base de los eventos no contesta. Vuelva a intentar en un momento.",
    "clabe_control_digit": "La CLABE tiene un dígito equivocado.",
    "clabe_length": "Una CLABE son 18 dígitos.",
    "client_defaulted": "El cliente tiene un crédito vencido o castigado y no puede recibir otro.",
    "client_has_open_loans": "El cliente tiene créditos abiertos: no se puede eliminar.",
    "client_inactive": "El cliente está inactivo: puede pagar, y no recibe créditos nuevos.",
    "client_not_found": "No hay un cliente así.",
    "client_of_role": "Un usuario con papel de cliente lleva un cliente, y los demás no.",
    "curp_check_digit": "La CURP tiene mal su último dígito.",
    "curp_date": "La fecha de la CURP no existe.",
    "curp_inconvenient_word": "No se emiten CURP que empiecen con esa palabra.",
    "curp_length": "Una CURP tiene 18 caracteres.",
    "curp_letters": "La CURP no está bien escrita.",
    "curp_state": "La CURP nombra un estado que no existe.",
    "credit_limit_exceeded": "El importe rebasa lo que queda de la línea de crédito del cliente.",
    "cursor_invalid": "Esta lista cambió. Ábrala de nuevo desde el principio.",
    "detail_loan_not_owing": "En uno de los créditos que eligió ya no se debe nada.",
    "details_exceed_amount": "Lo que repartió entre los créditos suma más que el importe.",
    "disbursement_stands": "El crédito ya no es de hoy, o ya tiene movimientos: no se puede deshacer.",
    "duplicate": "Ya existe otro con este valor.",
    "duplicate_code": "Ya hay un producto con esta clave.",
    "duplicate_email": "Otro cliente tiene este correo.",
    "duplicate_external_id": "Otro registro tiene este id externo.",
    "duplicate_reference": "Esta referencia ya se usó en otro pago del cliente. Revise si el pago ya está registrado.",
    "duplicate_rfc": "Otro cliente tiene este RFC.",
    "email_malformed": "Esto no es una dirección de correo.",
    "expires_in_past": "Esa fecha ya pasó.",
    "file_taken": "Este archivo ya se está importando.",
    "file_too_large": "El archivo pesa más de 64 MiB: divídalo.",
    "form_malformed": "Elija un archivo.",
    "form_sent_twice": "Este formulario ya se envió, y lo que respondió se muestra una sola vez. No se hizo de nuevo.",
    "format_unknown": "El archivo tiene que terminar en .txt, .csv o .xlsx.",
    "idempotency_key_reused": "Esta página ya se había enviado con otros datos. Ábrala de nuevo y repita la acción.",
    "import_ended": "La importación ya terminó.",
    "import_running": "La importación todavía no termina.",
    "int_parsing": "Escriba un número entero.",
    "int_type": "Escriba un número entero.",
    "greater_than_equal": "El número es demasiado pequeño.",
    "installments_out_of_range": "Los pagos van de 1 a 600.",
    "last_administrator": "Es el último administrador: nombre a otro antes.",
    "less_than_equal": "El número es demasiado grande.",
    "limits_reversed": "El mínimo no puede ser mayor que el máximo.",
    "loan_frozen": "El crédito se reestructuró o se castigó después de este pago, así que ya no se puede anular.",
    "maker_is_checker": "Usted hizo esta solicitud, así que la tiene que decidir otra persona.",
    "missing": "Falta este dato.",
    "movement_refused": "Los movimientos posteriores del crédito no lo permiten.",
    "not_for_clients": "Esta oficina es para el personal. Los clientes entran por otra página.",
    "not_found": "La página no existe, o lo que muestra ya no está.",
    "nothing_owed": "En este crédito no se debe nada.",
    "null_required": "Este dato no puede quedar vacío.",
    "owner_not_found": "No hay un usuario así.",
    "paid_before_disbursement": "La fecha es anterior a la disposición del crédito.",
    "paid_in_future": "La fecha del pago no puede ser posterior a hoy.",
    "paid_too_long_ago": "La fecha del pago es demasiado antigua.",
    "precondition_failed": "Otra persona cambió esto mientras usted lo veía. Revise los datos y decida de nuevo.",
    "product_not_found": "No hay un producto con esa clave.",
    "product_retired": "El producto está retirado: ya no admite créditos nuevos.",
    "rate_malformed": "Escriba la tasa anual en porcentaje, por ejemplo 36.",
    "rate_out_of_range": "La tasa está fuera del rango permitido.",
    "rate_too_fine": "La tasa tiene demasiados decimales.",
    "recoveries_stand": "Primero hay que anular las recuperaciones que se registraron después del castigo.",
    "request_in_progress": "La misma petición todavía se está haciendo. Espere un momento y vea si quedó.",
    "rfc_check_digit": "El último carácter de un RFC es un dígito o la letra A.",
    "rfc_date": "Los seis dígitos del RFC no son una fecha que exista (AAMMDD).",
    "rfc_generic": "Es un RFC genérico: el cliente necesita el suyo.",
    "rfc_homoclave": "La homoclave del RFC tiene un carácter que el SAT no usa ahí.",
    "rfc_inconvenient_word": "El SAT no emite un RFC que empiece con esa palabra.",
    "rfc_length": "Un RFC tiene 13 caracteres si es de una persona y 12 si es de una empresa.",
    "rfc_letters": "Un RFC son 4 letras (3 si es empresa), 6 dígitos y 3 letras o dígitos.",
    "rfc_looks_like_curp": "Es el principio de una CURP, no un RFC.",
    "scope_not_held": "Una llave no puede hacer más que su dueño.",
    "scope_unknown": "Elija los permisos de la lista.",
    "standard_not_retirable": "El producto STANDARD no se puede retirar.",
    "string_pattern_mismatch": "Esto no está bien escrito.",
    "string_too_long": "El texto es demasiado largo.",
    "string_too_short": "Falta este dato.",
    "term_out_of_range": "El plazo va de 1 a 600 pagos.",
    "terms_frozen": "El crédito ya no está por disponer, así que sus condiciones no cambian.",
    "terms_refused": "Con esas condiciones no hay un crédito posible. Revise los datos marcados.",
    "text_character": "El texto tiene un carácter invisible o de control.",
    "too_short": "Elija al menos uno.",
    "transition_refused": "El crédito cambió de estado y esto ya no se puede hacer. Vea cómo está ahora.",
    "user_not_found": "No hay un usuario así.",
    "username_taken": "Ya hay un usuario con ese nombre.",
    "uuid_parsing": "Esto no es un identificador.",
    "value_error": "Esto no está bien escrito.",
}
_BY_STATUS = {
    403: "Su papel no permite ver esta página ni hacer esto. Pídalo a quien administra los usuarios.",
    404: _OWN["not_found"],
    405: "Esta página no se puede abrir de esa manera.",
    413: "La petición es demasiado grande.",
}
_WELCOME = "Oficina: solo para el personal."
WORDS = Words({**_OWN, "forbidden": _BY_STATUS[403]}, _BY_STATUS, NOTICES, home="Ir al inicio", welcome=_WELCOME)
